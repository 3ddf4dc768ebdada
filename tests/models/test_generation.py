"""Generators: failures, memory, adapters and confidences, on a tiny random Llama."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, GenerationConfig

from ner_utils import processes
from ner_utils.data.corpus import Sentence
from ner_utils.data.predictions import Prediction
from ner_utils.data.spans import Span
from ner_utils.experiments import experiment
from ner_utils.models import backbones, generation, weights
from ner_utils.models.generation import generator, qlora
from ner_utils.models.generation.answers import Answer
from ner_utils.models.prediction import Alone, keep_answers


def test_sentences_with_other_spans_in_a_batch_are_counted():
    one, other = Prediction("a", (Span(0, 1, "PER"),)), Prediction("b", ())
    predicted = {"a": one, "b": Prediction("b", (Span(0, 1, "PER"),))}
    sentences = [Sentence(name, None, ("x",), ()) for name in ("a", "b", "fails")]
    alone = Alone(lambda sentence: predicted[sentence.id], sentences)
    assert alone.latency([one, other, Prediction("c", ())])["differing"] == 1
    sure = Prediction("a", one.spans, confidences=(-0.5,))
    assert alone.latency([sure])["differing"] == 0  # confidences do not count


# ----------------------------------------------------------------- sentences that fail
POISON = "qzxqzx"  # the tokenizer knows it as a token of its own, the model has no embedding of it


@pytest.fixture(scope="module")
def poisoned(make_tiny_llama, make_run):
    folder = make_tiny_llama()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([POISON])
    tokenizer.save_pretrained(folder)
    return make_run("tiny-llama", {"max_new_tokens": 6}, weights_folder=folder, untrained=True)


def some(*words):
    return [Sentence(f"s{at}", None, ("Ada", word, "Bo"), ()) for at, word in enumerate(words)]


@pytest.mark.parametrize("hybrid", [False, True], ids=["packed", "by the library"])
def test_a_sentence_that_fails_is_an_empty_answer(hybrid, poisoned, monkeypatch, capsys):
    """In a batch with others, first, last or between them; a lone surrogate cannot even be encoded."""
    if hybrid:
        monkeypatch.setattr("ner_utils.models.generation.decoding.packed_decoder", lambda *_: None)
    sentences = some(POISON, "x", "y y", "\ud800", "z", "v", POISON, "u u u", "t", POISON)
    predicted, cost = generation.predict_with_generator(poisoned, None, sentences)
    assert cost["failed_sentences"] == 4
    failed = [0, 3, 6, 9]
    good = [sentence for at, sentence in enumerate(sentences) if at not in failed]
    alone, other = generation.predict_with_generator(poisoned, None, good)
    assert other["failed_sentences"] == 0
    assert [p for at, p in enumerate(predicted) if at not in failed] == alone
    for at in failed:
        assert (predicted[at].id, predicted[at].spans, predicted[at].status) == (f"s{at}", (), "failed")
        assert not any(predicted[at].dropped.values())
    printed = capsys.readouterr().out
    assert "no prediction for s3" in printed and "\ud800" not in printed
    generation.predict_with_generator(poisoned, None, sentences)
    rows = [json.loads(line) for line in (poisoned.scratch / "answers.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [sentence.id for sentence in sentences]
    assert all(rows[at]["answer"] == "" for at in failed)


def test_a_grammar_that_fails_is_an_empty_answer(tiny, monkeypatch, capsys):
    from ner_utils.forms.json_list import JsonForm

    grammar = JsonForm.grammar

    def failing(self, tokens):
        if "y" in tokens:
            raise ValueError("no grammar \x1b[2J of \u202ethis" + "!" * 9999)
        return grammar(self, tokens)

    monkeypatch.setattr(JsonForm, "grammar", failing)
    model = tiny.model.model_copy(update={"constrained": "grounded", "prediction_batch_size": 3})
    run = tiny.model_copy(update={"model": model, "untrained": True})
    predicted, cost = generation.predict_with_generator(run, None, some(*"xyzuvywyt"))
    assert cost["failed_sentences"] == 3
    assert [p.status for p in predicted] == ["failed" if word == "y" else "ok" for word in "xyzuvywyt"]
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and "\u202e" not in printed
    assert max(map(len, printed.splitlines())) < 400


def test_a_reader_that_fails_is_an_empty_answer(tiny, monkeypatch):
    from ner_utils.forms.json_list import JsonForm

    read = JsonForm.read

    def failing(self, answer, tokens):
        if "y" in tokens:
            raise RecursionError("too deep")
        return read(self, answer, tokens)

    monkeypatch.setattr(JsonForm, "read", failing)
    predicted, cost = generation.predict_with_generator(
        tiny.model_copy(update={"untrained": True}), None, some(*"xyz")
    )
    assert cost["failed_sentences"] == 1
    assert [p.id for p in predicted] == ["s0", "s1", "s2"]


def test_answers_are_kept_whatever_they_hold(tmp_path):
    answers = ["a\u2028b\u2029c\x85d\ne", "plain"]
    for sentence, answer in zip(some("x", "y"), answers, strict=True):
        keep_answers(tmp_path / "answers.jsonl", [sentence], [answer])
    rows = map(json.loads, (tmp_path / "answers.jsonl").open(encoding="utf-8"))
    assert [row["answer"] for row in rows] == answers


def test_a_model_that_fails_at_every_sentence_ends_the_run(poisoned):
    with pytest.raises(RuntimeError, match="none of 3 sentences.*IndexError"):
        generation.predict_with_generator(poisoned, None, some(POISON, POISON, POISON))
    predicted, cost = generation.predict_with_generator(poisoned, None, some(POISON))  # one proves nothing
    assert predicted[0].status == "failed"
    assert cost["failed_sentences"] == 1


def test_of_a_private_corpus_no_failure_shows_text(poisoned, capsys):
    dataset = poisoned.dataset.model_copy(update={"private": True})
    generation.predict_with_generator(
        poisoned.model_copy(update={"dataset": dataset}), None, some("x", "\ud800")
    )
    printed = capsys.readouterr().out
    assert "no prediction for a sentence" in printed
    assert "s1" not in printed


def test_short_memory_halves_the_rows_and_loses_nothing(tiny, twenty, monkeypatch):
    generator = generation.Generator(
        tiny, generation.load_for_prediction(tiny, None), generation.Prompter(tiny, tiny.model.weights.folder)
    )
    twenty = twenty[:10]
    expected = [answer.tokens for answer in generator.answers(twenty)]
    answers, tried = generator.decoder.answers, []

    def short(prompts, rows, constraints=None):
        tried.append(rows)
        if rows > 4:
            raise MemoryError
        return answers(prompts, rows, constraints)

    monkeypatch.setattr(generator.decoder, "answers", short)
    generator.rows = 16
    assert [answer.tokens for answer in generator.answers(twenty)] == expected
    assert tried == [16, 8, 4]
    monkeypatch.setattr(generator.decoder, "answers", lambda *_: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):  # at one sentence, too
        generator.answers(twenty)
    assert len(generator.failures) == 0


def test_shared_prefix_and_batches_change_no_answer(tiny, twenty):
    """Neither the instruction's cache, nor the order, nor the padding changes an answer."""
    twenty = twenty[:5]
    prompter = generation.Prompter(tiny, weights.resolve(tiny.model.weights))
    model = generation.load_for_prediction(tiny, None)
    _, together = generation.Generator(tiny, model, prompter).predict(twenty)
    tokenizer = prompter.tokenizer
    settings = GenerationConfig(
        do_sample=False,
        max_new_tokens=tiny.model.max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    alone = []
    for sentence in twenty:
        ids = torch.tensor([prompter.ids(prompter.prompt(sentence))])
        output = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings
        )
        alone.append(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))
    assert together == alone


def test_dequantised_and_merged_weights_are_the_quantised_model(tiny, twenty):
    """Merging an adapter does not change what the model computes."""
    tiny = tiny.model_copy(update={"dev_evaluations": 1})
    record = qlora.train_generator(tiny, twenty[:8], twenty[:2])
    adapter = experiment.best_checkpoint(tiny, record)
    merged = generation.load_for_prediction(tiny, adapter)
    kept = tiny.model_copy(update={"model": tiny.model.model_copy(update={"merge_adapter": False})})
    unmerged = generation.load_for_prediction(kept, adapter)
    ids = torch.tensor([[5, 99, 1000, 42, 7]])
    with torch.inference_mode():
        torch.testing.assert_close(
            merged(input_ids=ids).logits, unmerged(input_ids=ids).logits, atol=2e-3, rtol=2e-3
        )
    # A model with an unmerged adapter is decoded packed, too, and by the library.
    generator = generation.Generator(kept, unmerged, generation.Prompter(kept, tiny.model.weights.folder))
    packed = generator.answers(twenty[:3])
    generator.decoder.packed = None
    for answer, library in zip(packed, generator.answers(twenty[:3]), strict=True):
        assert answer.tokens == library.tokens
        assert answer.log_probabilities == pytest.approx(library.log_probabilities, abs=1e-3)
    assert set(record["lora_layers"]) == {
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    for evaluation in record["looks"]:
        assert set(evaluation) == {"step", "epoch", "dev_loss", "dev_f1"}


def trained_on_a_cpu(tiny, sentences, **model):
    """The last loss on dev of a short training, and its adapters, by name."""
    changes = {"model": tiny.model.model_copy(update=model), "dev_evaluations": 1, "system": "-".join(model)}
    run = tiny.model_copy(update=changes)
    record = qlora.train_generator(run, sentences[:8], sentences[:2])
    adapter = experiment.best_checkpoint(run, record)
    return record["looks"][-1]["dev_loss"], load_file(adapter / "adapter_model.safetensors")


def test_weights_that_are_dequantised_once_learn_as_in_4_bits(tiny, twenty, monkeypatch):
    loss, dequantised = trained_on_a_cpu(tiny, twenty)
    monkeypatch.setattr(processes, "memory_limit", lambda: 1)  # no room for more than 4 bits
    assert any(type(each).__name__ == "Linear4bit" for each in generator.load_base(tiny).modules())
    same, packed = trained_on_a_cpu(tiny, twenty, label="packed")
    assert loss == same and dequantised.keys() == packed.keys()
    assert all(torch.equal(dequantised[name], packed[name]) for name in packed)


def test_a_cpu_computes_in_bf16_only_if_it_has_units_for_it(tiny, twenty, monkeypatch):
    asked = tiny.model.model_copy(update={"cpu_dtype": "bfloat16"})
    for units, expected in (({}, torch.float32), ({"amx_bf16": True}, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda units=units: units)
        assert backbones.dtype(asked) == expected and backbones.dtype(tiny.model) == torch.float32
    loss, adapters = trained_on_a_cpu(tiny, twenty, cpu_dtype="bfloat16")
    exact, _ = trained_on_a_cpu(tiny, twenty)
    assert loss == pytest.approx(exact, rel=0.01) and loss != exact
    assert {each.dtype for each in adapters.values()} == {torch.float32}, "adapters learn in fp32"


def test_a_sentence_that_leaves_no_room_for_its_answer_is_reported(tiny, twenty, capsys):
    prompter = generation.Prompter(tiny, weights.resolve(tiny.model.weights))
    most = max(len(prompter.example(sentence)["input_ids"]) for sentence in twenty[:4])
    settings = tiny.model.training.model_copy(update={"max_length": most})
    model = tiny.model.model_copy(update={"training": settings})
    long = Sentence("long", None, ("a",) * most, ())
    run = tiny.model_copy(update={"model": model, "dev_evaluations": 1})
    record = qlora.train_generator(run, [twenty[0], long, *twenty[1:4]], twenty[:2])
    assert record["training_truncation"] == {"cut_off_examples": 1, "dropped_examples": 1}
    assert "1 of 5 sentences not trained on" in capsys.readouterr().out


def test_loss_outside_the_answer_is_refused(tiny, twenty):
    prompter = generation.Prompter(tiny, weights.resolve(tiny.model.weights))

    class Trainer:
        train_dataset = [prompter.example(twenty[0]) | {"labels": prompter.example(twenty[0])["input_ids"]}]

        @staticmethod
        def data_collator(rows):
            return {"labels": torch.tensor([rows[0]["labels"]])}

    with pytest.raises(AssertionError, match="loss"):
        qlora.assert_loss_on_answers(Trainer, twenty[:1], prompter, 512)


def test_a_confidence_is_the_mean_of_its_own_tokens(tiny):
    """Against the tokenizer's offsets: the tokens that share a character with the item."""
    prompter = generation.Prompter(tiny, weights.resolve(tiny.model.weights))
    generator = generation.Generator(tiny, generation.load_for_prediction(tiny, None), prompter)
    sentence = Sentence("s", None, ("Zoë", "🙂", "met", "Ada", "in", "São", "Paulo"), ())
    text = '[{"text": "Zoë 🙂", "type": "person"}, {"text": "São Paulo", "type": "location"}]'
    encoded = prompter.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    tokens = [*encoded["input_ids"], prompter.tokenizer.eos_token_id]
    log_probabilities = [-0.01 * 1.3**at for at in range(len(tokens))]
    prediction = generator.read(sentence, Answer(0, tokens, log_probabilities), generator.text(tokens))
    assert [span[:2] for span in prediction.spans] == [(0, 2), (5, 7)]
    for item, confidence in zip(('{"text": "Zoë', '{"text": "São'), prediction.confidences, strict=True):
        begin = text.index(item)
        end = text.index("}", begin) + 1
        pairs = zip(log_probabilities, encoded["offset_mapping"], strict=False)
        covered = [each for each, (a, b) in pairs if a < end and b > begin]
        assert confidence == pytest.approx(sum(covered) / len(covered))
