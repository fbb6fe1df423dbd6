"""Train BERT + ResNet under the protocol, with the fusion of your choice.

    python stage2_compare/scripts/compare_train.py --project-root . --model-name bert-base-chinese
        --image-backbone resnet18 --fusion concat --epochs 5 --batch-size 16 --num-workers 2 --pin-memory

Leaves outputs/compare/<model>_<backbone>_<fusion>/.
"""

from common.cli import run_command, run_name, training_parser


def main(argv: list[str] | None = None) -> None:
    parser = training_parser(
        "Train BERT + ResNet with one fusion.", "bert-base-chinese", batch_size=16
    )
    parser.add_argument(
        "--image-backbone",
        choices=["resnet18", "resnet50"],
        default="resnet18",
        help="image encoder",
    )
    parser.add_argument(
        "--fusion",
        choices=["concat", "gated", "late", "text", "image"],
        default="concat",
        help="how the features are joined; text and image use one modality only",
    )
    args = parser.parse_args(argv)

    from common.models.bert_resnet import BertResNet
    from common.models.fusion import FUSIONS
    from common.training.run import train

    def make_encoder(config) -> BertResNet:
        uses = FUSIONS[args.fusion].uses
        return BertResNet(
            args.model_name, config, args.image_backbone, not args.no_pretrained, uses
        )

    name = run_name(args.model_name, args.image_backbone, args.fusion, seed=args.seed)
    train(args, name, "bert_resnet", args.fusion, make_encoder)


if __name__ == "__main__":
    run_command(main)
