"""Small random checkpoints of the real classes of transformers, and small networks of torchvision."""

from functools import partial
from pathlib import Path

import torch
import torchvision
import transformers
from torchvision.models import SwinTransformer, VisionTransformer

NATIVE, SIZE = 32, 64  # pixels of their training, and of most tests
WORDS = 200
_SIZE = {"hidden_size": 32, "intermediate_size": 64}
_SIZE |= {"num_hidden_layers": 2, "num_attention_heads": 2}
_TEXT = {**_SIZE, "vocab_size": WORDS, "max_position_embeddings": 40}
_DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 2, "vocab_size": WORDS}
_DISTILBERT |= {"max_position_embeddings": 40}
_VISION = {**_SIZE, "hidden_size": 48, "image_size": NATIVE, "patch_size": 8}
_SPACE = {"projection_dim": 24}
_WHOLE = {"text_config": _TEXT, "vision_config": _VISION, **_SPACE}
_ALTCLIP = {**_TEXT, "project_dim": 40}
_SWIN = {"image_size": NATIVE, "patch_size": 4, "embed_dim": 16, "window_size": 2}
_SWIN |= {"depths": [1, 2], "num_heads": [2, 4]}
_CONVNEXT = {"image_size": NATIVE, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}
# Name of a checkpoint -> class that is saved, and its configuration
CHECKPOINTS = {
    "bert": ("BertForPreTraining", _TEXT),
    "roberta": ("RobertaForMaskedLM", _TEXT),
    "xlm-roberta": ("XLMRobertaModel", _TEXT),
    "distilbert": ("DistilBertForMaskedLM", _DISTILBERT),
    "deberta": ("DebertaV2ForSequenceClassification", _TEXT),
    "xlnet": ("XLNetLMHeadModel", {"d_model": 32, "n_layer": 2, "n_head": 2, "vocab_size": WORDS}),
    "clip": ("CLIPModel", _WHOLE),
    "chinese_clip": ("ChineseCLIPModel", _WHOLE),
    "siglip": ("SiglipModel", {key: _WHOLE[key] for key in ("text_config", "vision_config")}),
    "altclip": ("AltCLIPModel", {**_WHOLE, "text_config": _ALTCLIP}),
    "vit": ("ViTForImageClassification", _VISION),
    "dinov2": ("Dinov2Model", _VISION),
    "swin": ("SwinForImageClassification", _SWIN),
    "convnext": ("ConvNextForImageClassification", _CONVNEXT),
    "convnextv2": ("ConvNextV2Model", _CONVNEXT),
    "blip": (
        "BlipForConditionalGeneration",
        {**_WHOLE, "text_config": {**_TEXT, "bos_token_id": 2}},
    ),
    "beit": ("BeitModel", _VISION),
}
WHOLE = ("clip", "chinese_clip", "siglip", "altclip")
TEXTS = ("bert", "roberta", "xlm-roberta", "distilbert", "deberta", *WHOLE)
READERS = (*TEXTS, "xlnet")  # of whose parameters some get no gradient
# The longest text of each in tokens, where it is not 40; XLNet has no limit.
POSITIONS = {"roberta": 38, "xlm-roberta": 38, "altclip": 38, "xlnet": 2**31}
NETWORKS = ("resnet18", "regnet_y_400mf", "efficientnet_b0", "mobilenet_v3_small")
NETWORKS += ("mobilenet_v2", "convnext_tiny", "swin_t", "vit_b_16")
IMAGES = (*NETWORKS, "vit", "dinov2", "swin", "convnext", "convnextv2", "blip", *WHOLE)
_SMALL_NETWORKS = {
    "swin_t": partial(SwinTransformer, [4, 4], 16, [1, 1], [2, 4], [7, 7]),
    "vit_b_16": partial(VisionTransformer, 224, 16, 2, 2, 32, 64),
    "convnext_tiny": partial(
        torchvision.models.ConvNeXt,
        [
            torchvision.models.convnext.CNBlockConfig(8, 16, 1),
            torchvision.models.convnext.CNBlockConfig(16, None, 1),
        ],
    ),
}


def write_checkpoint(folder: Path, kind: str, **changes) -> transformers.PreTrainedModel:
    """Save a model of the kind, a key of CHECKPOINTS, whose weights are none that it starts with."""
    name, settings = CHECKPOINTS[kind]
    load, settings = getattr(transformers, name), {**settings, **changes}
    torch.manual_seed(1)
    model = load(load.config_class(**settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) / 16)
    model.save_pretrained(folder)
    return model.eval()


def small_network(name: str, image_size: int = 224) -> torch.nn.Module:
    """Stand in for ``torchvision.models.get_model``: the transformers and ConvNeXt with fewer
    layers."""
    made = _SMALL_NETWORKS.get(name) or torchvision.models.get_model_builder(name)
    return made()


def write_networks(folder: Path) -> dict[str, torch.nn.Module]:
    """Write the weights of NETWORKS as their downloads lie in a folder, and return the networks."""
    found = {}
    for name in NETWORKS:
        torch.manual_seed(1)
        found[name] = small_network(name).eval()
        url = torchvision.models.get_model_weights(name).DEFAULT.url
        torch.save(found[name].state_dict(), folder / url.rsplit("/", 1)[-1])
    return found


def write_readable(folder: Path, kind: str, tokenizer_folder: str) -> str:
    """Save a model of the kind that reads texts with the tokenizer of another checkpoint; those of
    some kinds need packages that are not installed for the tests."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.save_pretrained(folder)
    words, settings = {"vocab_size": len(tokenizer)}, CHECKPOINTS[kind][1]
    if "text_config" in settings:
        words = {"text_config": {**settings["text_config"], **words}}
    write_checkpoint(folder, kind, **words)
    return str(folder)
