"""Train CLIP or Chinese-CLIP with the common head under the protocol.

    python stage2_compare/scripts/compare_clip.py --project-root . --model-name openai/clip-vit-base-patch32
        --epochs 5 --batch-size 16 --num-workers 2 --pin-memory

Leaves outputs/compare/clip_<model>/.
"""

from common.cli import run_command, run_name, training_parser


def main(argv: list[str] | None = None) -> None:
    parser = training_parser(
        "Train CLIP or Chinese-CLIP with a head.", "openai/clip-vit-base-patch32", batch_size=16
    )
    args = parser.parse_args(argv)

    from common.models.clip import Clip
    from common.training.run import train

    def make_encoder(config) -> Clip:
        return Clip(args.model_name, config, args.image_size, not args.no_pretrained)

    train(args, run_name("clip", args.model_name, seed=args.seed), "clip", "concat", make_encoder)


if __name__ == "__main__":
    run_command(main)
