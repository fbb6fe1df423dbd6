"""What the commands share. Data flows one way: splits, images -> data -> models -> engine -> run folder -> results."""
