"""train and export: flags made from the recipes, what is sealed, and what is refused."""

import json
import shutil
import sys
from dataclasses import fields
from importlib import import_module

import pytest

from magnetite.cli.recipes import asked, config_of, recipes, settings_of_the_loop
from magnetite.encode import Encoder, verify
from magnetite.learn import Settings


def test_the_recipes_are_those_of_the_folder():
    names = recipes()
    assert {"pairs", "simcse", "contriever", "static_distill"} <= names.keys()
    for name, said in names.items():
        assert said == import_module(f"magnetite.learn.recipes.{name}").__doc__.partition("\n")[0]


@pytest.mark.parametrize("recipe", recipes())
def test_a_recipes_flags_are_its_config(recipe):
    config = import_module(f"magnetite.learn.recipes.{recipe}").Config
    simple = {f.name: f.default for f in fields(config) if isinstance(f.default, int | float | str)}
    flags = {setting.name: setting.default for setting in config_of(recipe)}
    assert simple.items() <= flags.items()
    assert flags.keys() <= {f.name for f in fields(config)}


@pytest.mark.parametrize("recipe", recipes())
def test_a_recipe_names_the_columns_it_asks_for(recipe):
    assert asked(recipe)


def test_the_loops_flags_are_its_settings():
    flags = {setting.name: setting.default for setting in settings_of_the_loop()}
    assert {"epochs", "steps", "batch", "lr", "seed", "precision"} <= flags.keys()
    theirs = {field.name: field.default for field in fields(Settings)}
    for name in flags.keys() - {"precision"}:
        assert flags[name] == theirs[name]


def test_train_help_names_the_recipes_and_a_recipes_help_its_settings(call):
    assert "pairs" in call("train", "--help").output
    said = call("train", "pairs", "--help").output
    assert "--temperature FLOAT" in said.partition("The recipe's settings:")[2]
    assert "--batch INTEGER" in said.partition("The loop's settings:")[2]
    assert "Karpukhin" in said


def test_an_unknown_recipe_is_named_with_those_there_are(call):
    said = call("train", "word2vec", code=2).output
    assert "no recipe 'word2vec'; there are " in said
    assert "pairs" in said


SHORT = ["--steps", "2", "--batch", "2", "--lr", "0.01"]


def test_train_on_a_beir_folder_seals_what_it_trained(tmp_path, call, beir):
    out = tmp_path / "mine"
    options = [*SHORT, "--split", "test", "--temperature", "0.1", "--json"]
    answer = json.loads(call("train", "pairs", "--data", beir, "-o", out, *options).stdout)
    assert answer["steps"] == 2
    assert verify(out).ok
    assert Encoder.load(out).fingerprint == answer["fingerprint"]["encoder"]
    assert answer["fingerprint"]["encoder"] != Encoder.load().fingerprint
    assert (tmp_path / "mine.run" / "log.jsonl").read_text().count("\n") >= 2


def test_train_goes_on_from_its_own_artifact(tmp_path, call, beir):
    call("train", "pairs", "--data", beir, "-o", tmp_path / "one", *SHORT)
    model = ["--model", tmp_path / "one"]
    call("train", "pairs", "--data", beir, "-o", tmp_path / "two", *model, *SHORT)
    assert verify(tmp_path / "two").ok


def test_train_goes_on_only_when_told_to(tmp_path, call, beir):
    out = tmp_path / "mine"
    again = ["train", "pairs", "--data", beir, "-o", out, *SHORT, "--split", "test"]
    call(*again)
    first = Encoder.load(out).fingerprint
    shutil.rmtree(out)
    assert "already holds a run" in call(*again, code=1).output
    answer = json.loads(call(*again, "--resume", "--json").stdout)
    assert (answer["steps"], answer["fingerprint"]["encoder"]) == (2, first)


@pytest.mark.parametrize("kind", ["jsonl", "tsv"])
def test_train_reads_the_columns_that_the_recipe_asks_for(tmp_path, call, kind):
    path = tmp_path / f"pairs.{kind}"
    rows = [{"_id": "x", "query": f"number {i}", "document": f"the number {i}"} for i in range(4)]
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = ["_id\tquery\tdocument", *("\t".join(row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    call("train", "pairs", "--data", path, "-o", tmp_path / "mine", *SHORT)
    assert verify(tmp_path / "mine").ok


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"question": "x"}\n', "pairs asks for the columns query, document"),
        ('{"query": "x", "document": "y"}\n{"query": "x"}\n', "p.jsonl:2: expected the field"),
        ('{"query": "x", "document": "y"}\n{oops\n', "p.jsonl:2: not JSON"),
        ("", "p.jsonl"),
    ],
)
def test_train_names_bad_data(tmp_path, call, text, said):
    (tmp_path / "p.jsonl").write_text(text)
    options = ["--data", tmp_path / "p.jsonl", "-o", tmp_path / "mine", *SHORT]
    assert said in call("train", "pairs", *options, code=1).output
    assert not (tmp_path / "mine").exists()


def test_what_no_file_can_hold_is_named(tmp_path, call):
    (tmp_path / "t.txt").write_text("one\ntwo\n")
    options = ["--data", tmp_path / "t.txt", "-o", tmp_path / "mine", *SHORT]
    said = call("train", "static_distill", *options, code=1).output
    assert "t.txt lacks what static_distill asks for: " in said
    assert "teacher" in said


def test_train_refuses_a_folder_that_holds_something(tmp_path, call, beir):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    said = call("train", "pairs", "--data", beir, "-o", tmp_path / "mine", *SHORT, code=1).output
    assert "mine exists" in said
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_setting_the_loop_refuses_is_one_line(tmp_path, call, beir):
    options = ["--data", beir, "-o", tmp_path / "mine", "--epochs", "0"]
    assert "epochs must be at least 1" in call("train", "pairs", *options, code=1).output


@pytest.mark.parametrize(
    ("verb", "options"),
    [("train", ["pairs", "--data", "DATA", "-o", "OUT"]), ("export", ["x", "-o", "OUT"])],
)
def test_without_torch_the_extra_is_named(tmp_path, call, monkeypatch, verb, options):
    monkeypatch.setitem(sys.modules, "torch", None)
    places = {"DATA": tmp_path, "OUT": tmp_path / "o"}
    said = call(verb, *(places.get(word, word) for word in options), code=1).output
    assert 'pip install "magnetite[export]"' in said


def test_export_names_a_folder_that_is_not_there(tmp_path, call):
    said = call("export", tmp_path / "nowhere", "-o", tmp_path / "out", code=1).output
    assert "nowhere" in said
    assert "Traceback" not in said
