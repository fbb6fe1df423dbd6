"""Train BLIP's captioning checkpoint with the common head under the protocol.

    python stage2_compare/scripts/compare_blip.py --project-root . --model-name Salesforce/blip-image-captioning-base
        --epochs 5 --batch-size 8 --num-workers 2 --pin-memory

Leaves outputs/compare/blip_<model>/.
"""

from common.cli import run_command, run_name, training_parser


def main(argv: list[str] | None = None) -> None:
    parser = training_parser(
        "Train BLIP with a head.", "Salesforce/blip-image-captioning-base", batch_size=8
    )
    args = parser.parse_args(argv)

    from common.models.blip import Blip
    from common.training.run import train

    def make_encoder(config) -> Blip:
        return Blip(args.model_name, config, args.image_size, not args.no_pretrained)

    train(args, run_name("blip", args.model_name, seed=args.seed), "blip", "concat", make_encoder)


if __name__ == "__main__":
    run_command(main)
