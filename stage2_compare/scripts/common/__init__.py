"""The code that the commands share, in rooms; imports go downwards only.

scripts          one file a command
command          flags <-> settings; how a command ends
charts  page  predicting  sweep
training  comparison
data  models  runs
files  tensors  seeding  metrics  words  settings
errors

The way of the data: data.splits -> data.tokens, data.image_store -> data.dataset -> data.batches ->
models.classifier -> training.engine -> training.record -> runs.folder || runs.reading -> comparison ->
charts, page.
What reads run folders (runs.reading, comparison, charts, page) imports no torch.
"""
