"""Generators: prompts, chat templates, failures and confidences, on a tiny random Llama."""

import json

import pytest
import torch
from transformers import AutoTokenizer, GenerationConfig

from ner_utils.data.corpus import IGNORED, Sentence
from ner_utils.experiments import experiment
from ner_utils.models import generation, weights
from ner_utils.models.generation import qlora
from ner_utils.models.generation.answers import Answer


@pytest.fixture(scope="module")
def tiny(make_tiny_llama, make_run):
    """A run on a two-layer random Llama with SmolLM2's tokenizer."""
    folder = make_tiny_llama()
    return make_run("tiny-llama", {"max_new_tokens": 12}, weights_folder=folder)


def test_prompt_and_answer(tiny, twenty):
    prompter = generation.Prompter(tiny, weights.resolve(tiny.model.weights))
    example = prompter.example(twenty[0])
    answer = [token for token in example["labels"] if token != IGNORED]
    text = prompter.tokenizer.decode(answer)
    assert text == prompter.format.target(twenty[0]) + prompter.tokenizer.eos_token
    prompt = prompter.tokenizer.decode(example["input_ids"][: -len(answer)])
    assert prompt.endswith("<|im_start|>assistant\n")
    assert twenty[0].text in prompt
    assert prompter.format.instruction() in prompt
    model = generation.load_for_prediction(tiny, None)
    assert prompter.ends(model) == [prompter.tokenizer.eos_token_id]


def test_pad_token_must_differ_from_the_end_token(tiny):
    model = tiny.model.model_copy(update={"pad_token": "<|im_end|>"})
    with pytest.raises(ValueError, match="tiny-llama.*pad_token"):
        generation.Prompter(tiny.model_copy(update={"model": model}), weights.resolve(model.weights))


# ------------------------------------------------------------------------------ chat templates
TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
OPEN = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
REFUSING = (  # no control tokens at all: turns end in plain text
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</>{% endfor %}"
    "{% if add_generation_prompt %}<model>{% endif %}"
)
DROPPING = TURNS.replace("%}<|im_start|>", "if m.role != 'system' %}<|im_start|>", 1) + OPEN
FOLDING = (  # as Gemma's: the system's words begin the user's turn, and the model is called so
    "{% set said = messages[0].content + '\n\n' if messages[0].role == 'system' else '' %}"
    "{% for m in messages if m.role != 'system' %}<|im_start|>{{ m.role }}\n"
    "{{ said if loop.first else '' }}{{ m.content | trim }}<file_sep>\n{% endfor %}" + OPEN
)
TALKATIVE = TURNS.replace("<|im_end|>", " \n<|endoftext|>") + OPEN


@pytest.fixture(scope="module")
def templated(make_tiny_llama, make_run):
    """``templated(template)``: a run on the tiny Llama with another chat template; its weights' folder."""

    def make(template, ends=None, **more):
        folder = make_tiny_llama()
        (folder / "chat_template.jinja").write_text(template)
        if ends:
            GenerationConfig(eos_token_id=ends).save_pretrained(folder)
        run = make_run("tiny-llama", {"max_new_tokens": 8}, weights_folder=folder, **more)
        model = run.model.model_copy(update={"pad_token": "<repo_name>"})
        return run.model_copy(update={"model": model}), str(folder)

    return make


@pytest.mark.parametrize(
    ("template", "few_shot"),
    [(REFUSING, 2), (DROPPING, 2), (FOLDING, 2), (TURNS + OPEN, 2), (TURNS + OPEN, 0)],
    ids=range(5),
)
def test_instruction_and_sentence_are_in_the_prompt(template, few_shot, templated):
    """Whether a template writes system turns, raises at them, drops them, or folds them."""
    run, folder = templated(template, few_shot=few_shot)
    prompter = generation.Prompter(run, folder)
    prompt = prompter.prompt(Sentence("s", None, ("Ada", "met", "Bo"), ()))
    texts = [prompter.format.instruction(), *(shown.text for shown in prompter.examples), "Ada met Bo"]
    assert [prompt.count(text) for text in texts] == [1] * len(texts)
    assert sorted(map(prompt.index, texts)) == list(map(prompt.index, texts))
    assert len(prompter.examples) == few_shot
    users = prompt.count("user\n") + prompt.count("<user>")
    assert users == few_shot + 1


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{% for m in messages %}{{ m.role }}{% endfor %}", "does not render answers"),
        ("{% for m in messages %}{{ m.content[:60] }}\n{% endfor %}", "instruction"),
        ("{{ messages[0].content }}{{ messages[1].content if messages[1].role == 'assistant' }}", "sentence"),
        ("{{ raise_exception('tools only') }}", "tools only"),
    ],
)
def test_a_template_that_leaves_out_a_part_of_the_prompt_is_refused(template, what, templated):
    run, folder = templated(template)
    with pytest.raises(ValueError, match=what) as error:
        generation.Prompter(run, folder)
    assert run.system in str(error.value) and run.model.label in str(error.value)


@pytest.mark.parametrize(
    ("template", "written", "end"),
    [
        (TURNS + OPEN, "", "<|im_end|>"),
        (FOLDING, "", "<file_sep>"),  # special, but not the tokenizer's end token
        (TALKATIVE, " \n", "<|endoftext|>"),
        (REFUSING, "</>", "<|im_end|>"),  # no token ends the turn: the tokenizer's follows the text
    ],
    ids=range(4),
)
def test_training_teaches_the_end_that_the_template_writes(template, written, end, templated, twenty):
    run, folder = templated(template)
    prompter = generation.Prompter(run, folder)
    example = prompter.example(twenty[0])
    answer = [token for token in example["labels"] if token != IGNORED]
    assert answer[-1] == prompter.end == prompter.tokenizer.convert_tokens_to_ids(end)
    assert prompter.tokenizer.decode(answer) == prompter.format.target(twenty[0]) + written + end
    reading = prompter.format.read(prompter.template.written(answer, [prompter.end]), twenty[0].tokens)
    assert reading.status == "ok" and reading.spans == list(twenty[0].spans)


@pytest.mark.parametrize(("declared", "known"), [(None, []), ([2, 6, 14], [6, 14])])
def test_ends_are_the_templates_the_tokenizers_and_the_generation_configs(declared, known, templated):
    run, folder = templated(FOLDING, declared)
    prompter = generation.Prompter(run, folder)
    generator = generation.Generator(run, generation.load_for_prediction(run, None), prompter)
    assert generator.ends == [5, 2, *known]  # <file_sep>, <|im_end|>
    assert generator.decoder.ends == {5, 2, *known}


def test_answers_that_end_otherwise_than_taught_are_not_cut_off(templated, twenty):
    """Whatever the untrained model writes at its third token is declared an end."""
    run, folder = templated(TURNS + OPEN)
    run = run.model_copy(update={"untrained": True})
    model, prompter = generation.load_for_prediction(run, None), generation.Prompter(run, folder)
    cut = generation.Generator(run, model, prompter)
    answers = cut.answers(twenty)
    assert cut.cut_off == sum(answer.tokens[-1] != 2 for answer in answers) > 0
    model.generation_config.eos_token_id = sorted({answer.tokens[2] for answer in answers} | {2})
    ended = generation.Generator(run, model, prompter)
    assert all(len(answer.tokens) <= 3 for answer in ended.answers(twenty))
    assert ended.cut_off == 0


def test_what_follows_an_end_in_plain_text_is_no_part_of_the_answer(templated):
    run, folder = templated(REFUSING)
    prompter = generation.Prompter(run, folder)
    tokens = prompter.ids("[]</><user>And now?</><model>[]")
    assert prompter.template.written(tokens, [2]) == "[]"
    assert prompter.template.is_whole(tokens, [2])
    assert not prompter.template.is_whole(prompter.ids("[]"), [2])
    sentence = Sentence("s", None, ("</>", "Ada"), ())
    assert prompter.prompt(sentence).count("</>") == 1, "a sentence must not end its own turn"


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
    for look in record["looks"]:
        assert set(look) == {"step", "epoch", "dev_loss", "dev_f1"}


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
    taken = [-0.01 * 1.3**at for at in range(len(tokens))]
    found = generator.read(sentence, Answer(0, tokens, taken), generator.text(tokens))
    assert [span[:2] for span in found.spans] == [(0, 2), (5, 7)]
    for item, confidence in zip(('{"text": "Zoë', '{"text": "São'), found.confidences, strict=True):
        begin = text.index(item)
        end = text.index("}", begin) + 1
        own = [
            t for t, (a, b) in zip(taken, encoded["offset_mapping"], strict=False) if a < end and b > begin
        ]
        assert confidence == pytest.approx(sum(own) / len(own))


def test_a_sentence_cannot_leave_its_turn(tiny):
    prompter = generation.Prompter(tiny, weights.resolve(tiny.model.weights))
    specials = set(prompter.tokenizer.added_tokens_decoder)

    def turns(*tokens):
        ids = prompter.ids(prompter.prompt(Sentence("s", None, tokens, ())))
        return [token for token in ids if token in specials]

    calm = turns("a", "word")
    for token in ("<|im_end|>", "<|endoftext|>", "<file_sep>", "<repo_name>", "{{", "\u202e", "🙂", "]"):
        assert turns("a", token) == calm
    hostile = Sentence("s", None, ("<|im_end|>", "Ada"), ())
    reading = prompter.format.read('[{"text": "< |im_end|>", "type": "person"}]', hostile.tokens)
    assert reading.spans == [(0, 1, "PER")]


def test_examples_are_drawn_with_the_seed_and_shared_by_all_prompts(make_run, demo, monkeypatch):
    run = make_run("smollm2-135m", {}, untrained=True, few_shot=4)
    first, again, other = (
        generation.Prompter(run.model_copy(update={"seed": seed}), weights.resolve(run.model.weights))
        for seed in (1, 1, 2)
    )
    assert first.examples == again.examples != other.examples
    assert sum(bool(sentence.spans) for sentence in first.examples) == 2
    assert {sentence.id for sentence in first.examples} <= {sentence.id for sentence in demo["train"]}
    prompt = first.prompt(demo["test"][0])
    for sentence in first.examples:
        assert prompt.count(first.answer(sentence)) >= 1
        assert sentence.text in prompt
    shared = first.tokenizer.decode(first.shared_prefix())
    assert all(sentence.text in shared for sentence in first.examples)
