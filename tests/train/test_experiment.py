import pytest

from train.experiment import Experiment, Source, plain_name

HPARAMS = {"train": {"batch_size": 4}, "data": {"sample_rate": 24000}, "model": {"dim": 8}}


def source(path="a.wav", number=0, **values):
    return Source(path=path, number=number, size=10, modified=20, **values)


def make_clips(experiment, *clips):
    for folder in (experiment.target_wavs, experiment.wavs_16k):
        folder.mkdir(parents=True, exist_ok=True)
        for clip in clips:
            (folder / f"{clip}.wav").touch()


def test_the_files_of_a_clip_have_the_names_of_rvc(tmp_path):
    experiment = Experiment(tmp_path)
    files = (
        experiment.target_wav("3_1"),
        experiment.wav_16k("3_1"),
        experiment.f0_coarse_file("3_1"),
        experiment.f0_hz_file("3_1"),
        experiment.content_file("3_1", 768),
    )
    assert [str(file.relative_to(tmp_path).as_posix()) for file in files] == [
        "0_gt_wavs/3_1.wav",
        "1_16k_wavs/3_1.wav",
        "2a_f0/3_1.wav.npy",
        "2b-f0nsf/3_1.wav.npy",
        "3_feature768/3_1.npy",
    ]


def test_clips_come_in_the_order_of_their_numbers_and_only_when_complete(tmp_path):
    experiment = Experiment(tmp_path)
    make_clips(experiment, "10_0", "2_10", "2_9")
    (experiment.target_wavs / "3_0.wav").touch()
    (experiment.wavs_16k / "4_0.wav.part").touch()
    assert experiment.clips() == ["2_9", "2_10", "10_0"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "/etc", "C:x", "nul", "COM1.txt", "a.", " a", "a\n"]
)
def test_a_name_that_could_leave_its_folder_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="cannot be a name"):
        Experiment.named(name, tmp_path)


@pytest.mark.parametrize("name", ["mi", "我的 声音", "Jörg-2_b", "v1.0"])
def test_a_plain_name_may_be_in_any_language(name):
    assert plain_name(name) == name


def test_the_configuration_comes_back(tmp_path):
    experiment = Experiment(tmp_path)
    experiment.write_config("lite", 24000, HPARAMS)
    assert experiment.read_config() == {"version": "lite", "sample_rate": 24000, **HPARAMS}


@pytest.mark.parametrize("text", ["", "{", '{"version": "lite"}'])
def test_a_damaged_configuration_is_named(text, tmp_path):
    experiment = Experiment(tmp_path)
    experiment.config_file.write_text(text)
    with pytest.raises(ValueError, match=r"config\.json"):
        experiment.read_config()


def test_a_folder_without_configuration_is_no_experiment(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"run train\.preprocess first"):
        Experiment(tmp_path / "none").read_config()


def test_the_last_word_about_a_recording_counts(tmp_path):
    experiment = Experiment(tmp_path)
    experiment.append_sources([source(), source("b \udcff.wav", 1)])
    experiment.append_sources([source(clips=3, seconds=9.5)])
    assert experiment.read_sources() == {
        "a.wav": source(clips=3, seconds=9.5),
        "b \udcff.wav": source("b \udcff.wav", 1),
    }


def test_half_a_line_from_a_killed_process_harms_nothing(tmp_path):
    experiment = Experiment(tmp_path)
    experiment.append_sources([source(clips=1)])
    with experiment.sources_file.open("a") as file:
        file.write('{"path": "b.wav", "num')
    experiment.append_sources([source("c.wav", 2)])
    assert list(experiment.read_sources()) == ["a.wav", "c.wav"]


def test_a_forgotten_recording_leaves_nothing_behind(tmp_path):
    experiment = Experiment(tmp_path)
    make_clips(experiment, "1_0", "1_1", "11_0")
    for file in (experiment.f0_hz_file("1_0"), experiment.content_file("1_0", 513)):
        file.parent.mkdir()
        file.touch()
    experiment.append_sources([source("a.wav", 1), source("b.wav", 11)])
    experiment.forget_source(source("a.wav", 1))
    assert experiment.clips() == ["11_0"]
    assert list(experiment.read_sources()) == ["b.wav"]
    assert not experiment.f0_hz_file("1_0").exists()
    assert not experiment.content_file("1_0", 513).exists()


def test_every_clip_knows_its_speaker(tmp_path):
    experiment = Experiment(tmp_path)
    make_clips(experiment, "0_0", "1_0", "1_1", "2_0")
    experiment.append_sources([source("a", 0, speaker=4), source("b", 1, speaker=5)])
    assert experiment.speakers() == {"0_0": 4, "1_0": 5, "1_1": 5, "2_0": 0}


def test_only_training_states_with_both_halves_count(tmp_path):
    experiment = Experiment(tmp_path)
    for name in ("G_200.pth", "D_200.pth", "G_1000.pth", "D_1000.pth", "G_300.pth", "G_x.pth"):
        (tmp_path / name).touch()
    assert experiment.saved_steps() == [200, 1000]
