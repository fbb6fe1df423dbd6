"""Files of tensors are opened without running code in them, and no larger than they are."""

import io
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from common.errors import UserError
from common.models.image_towers import load_image_tower
from common.models.loading import load_weights
from common.predicting.answer import load_run
from common.runs.folder import RunFolder
from common.tensors import read_tensors
from torchvision.models import ResNet18_Weights

STATE = {"weights": {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(3)}, "epoch": 2}


@pytest.fixture
def path(tmp_path) -> Path:
    torch.save(STATE, tmp_path / "best.pt")
    return tmp_path / "best.pt"


def rewrite(path: Path, added: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Write the archive again with more members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | added
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def end_as_torch_does(path: Path) -> None:
    """Put zip64's end records into an archive of zipfile, which writes them for large ones only."""
    content = path.read_bytes()
    count = int.from_bytes(content[-12:-10], "little")
    length, first = (int.from_bytes(content[at : at + 4], "little") for at in (-10, -6))
    numbers = [44, 45 << 16 | 45, 0, 0, count, count, length, first]
    sizes = [8, 4, 4, 4, 8, 8, 8, 8]
    record = b"PK\6\6" + b"".join(
        number.to_bytes(size, "little") for number, size in zip(numbers, sizes, strict=True)
    )
    locator = b"PK\6\7" + bytes(4) + (first + length).to_bytes(8, "little") + b"\1\0\0\0"
    path.write_bytes(content[:-22] + record + locator + content[-22:])


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("archive", [True, False], ids=["archive", "before torch 1.6"])
def test_what_torch_wrote_is_read(tmp_path, archive, mapped):
    path = tmp_path / "pytorch_model.bin"
    torch.save(STATE, path, _use_new_zipfile_serialization=archive)
    found = read_tensors(path, mapped)
    assert found["epoch"] == 2 and list(found["weights"]) == ["a", "b"]
    assert all(torch.equal(found["weights"][key], STATE["weights"][key]) for key in "ab")


def test_an_archive_with_anything_but_tensors_is_refused(path):
    """constants.pkl is how torch below 2.6 knows a TorchScript archive, which it then runs."""
    for name in ("best/constants.pkl", "best/code/trap.py", "data.pkl"):
        torch.save(STATE, path)
        rewrite(path, {name: b"x"})
        end_as_torch_does(path)
        with pytest.raises(ValueError, match="no part of tensors"):
            read_tensors(path)
    torch.save(STATE, path)
    rewrite(path, {})
    end_as_torch_does(path)
    assert read_tensors(path)["epoch"] == 2  # so it was the name that was refused


class Trap(torch.nn.Module):
    """Writes a file when torch.jit.load, or torch.load below 2.6, opens its archive."""

    where: str

    def __init__(self, where: str):
        super().__init__()
        self.where = where

    @torch.jit.export
    def __getstate__(self):
        return self.where

    @torch.jit.export
    def __setstate__(self, state: str):
        self.where = state
        self.training = False
        torch.save(torch.zeros(1), state)


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_torchscript_that_would_run_code_is_refused_by_every_reader(tmp_path, monkeypatch, capsys):
    ran, trap = tmp_path / "ran", io.BytesIO()
    torch.jit.save(torch.jit.script(Trap(str(ran))), trap)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    resnet = f"hub/checkpoints/{ResNet18_Weights.DEFAULT.url.rsplit('/', 1)[-1]}"
    for name in ("best.pt", "pytorch_model.bin", resnet, ".a.partial/checkpoint.pt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(trap.getvalue())
    torch.jit.load(tmp_path / "best.pt")
    assert ran.exists()  # so it is a trap
    ran.unlink()
    for name in ("config.json", "vocab.txt"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    readers = {
        "best.pt": lambda: load_run(SimpleNamespace(folder=tmp_path)),
        "pytorch_model.bin": lambda: load_weights(None, str(tmp_path), None, True),
        "weights resnet18": lambda: load_image_tower("resnet18", 32, True, True),
    }
    for name, read in readers.items():
        with pytest.raises(UserError, match=f"{name}.*it holds .*, which is no part of tensors"):
            read()
    assert RunFolder(tmp_path, "a").read_checkpoint() is None
    assert "no part of tensors" in capsys.readouterr().out and not ran.exists()


def test_a_few_bytes_that_claim_gigabytes_are_refused(path):
    class Claim:
        def __reduce__(self):
            return bytearray, (10**12,)

    for archive in (True, False):
        torch.save({"a": Claim()}, path, _use_new_zipfile_serialization=archive)
        with pytest.raises(ValueError, match="a bytearray"):
            read_tensors(path)


def test_a_value_that_stands_for_gigabytes_is_refused_wherever_it_lies(path):
    claim = torch.zeros(1).expand(10**5, 10**5)
    nested = [claim]
    for _ in range(60):  # 2**60 ways lead to it
        nested = [nested, nested]
    for content in (claim, {"a": {"b": claim}}, nested):
        torch.save(content, path)
        with pytest.raises(ValueError, match="claims more values"):
            read_tensors(path)


def test_a_member_larger_than_the_file_is_refused(path):
    rewrite(path, {"best/data/9": bytes(10**6)}, zipfile.ZIP_DEFLATED)
    end_as_torch_does(path)
    with pytest.raises(ValueError, match="claim more bytes"):
        read_tensors(path)


def test_an_archive_with_two_tables_of_members_is_refused(path, tmp_path):
    """One reader would take the first, the other the last."""
    torch.save({"weights": {}}, tmp_path / "other.pt")
    path.write_bytes((tmp_path / "other.pt").read_bytes() + path.read_bytes())
    with pytest.raises(ValueError, match="no archive as torch.save"):
        read_tensors(path)


def test_an_archive_whose_end_hides_in_a_comment_is_refused(path):
    """The end that readers find is not the one that was checked."""
    content = path.read_bytes()
    hidden = bytearray(content[-22:])
    hidden[-2:] = (98).to_bytes(2, "little")
    fake = bytearray(content[-98:])
    end, length = len(content), int.from_bytes(fake[40:48], "little")
    fake[48:56], fake[64:72] = (at.to_bytes(8, "little") for at in (end - length, end))
    fake[-22:-18] = b"xxxx"
    path.write_bytes(content[:-22] + hidden + fake)
    with pytest.raises(ValueError, match="no archive as torch.save"):
        read_tensors(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "best.pt"
    tar = io.BytesIO()
    tarfile.open(fileobj=tar, mode="w").close()
    for content in (b"", b"x", b"PK\3\4", b"PK\3\4" + bytes(200), tar.getvalue()):
        path.write_bytes(content)
        with pytest.raises(ValueError):
            read_tensors(path)
    for archive in (True, False):
        torch.save({"a": Path("x")}, path, _use_new_zipfile_serialization=archive)
        with pytest.raises(ValueError, match="holds Python objects"):
            read_tensors(path)
    with pytest.raises(OSError, match="not a file"):  # as a pipe is none
        read_tensors(tmp_path)
