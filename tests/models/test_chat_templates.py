"""Prompts and chat templates: what a model reads, and how its answers end."""

import pytest
from transformers import GenerationConfig

from ner_utils.data.corpus import IGNORED, Sentence
from ner_utils.models import generation, weights


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
    assert prompter.ends(model.generation_config) == [prompter.tokenizer.eos_token_id]


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


def test_a_sentence_cannot_leave_its_turn(tiny):
    prompter = generation.Prompter(tiny, weights.resolve(tiny.model.weights))
    specials = set(prompter.tokenizer.added_tokens_decoder)

    def turns(*tokens):
        ids = prompter.ids(prompter.prompt(Sentence("s", None, tokens, ())))
        return [token for token in ids if token in specials]

    expected = turns("a", "word")
    for token in ("<|im_end|>", "<|endoftext|>", "<file_sep>", "<repo_name>", "{{", "\u202e", "🙂", "]"):
        assert turns("a", token) == expected
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
