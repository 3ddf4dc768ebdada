"""Our decoding loop against the library's `generate`, one prompt at a time."""

import copy
import shutil

import pytest
import torch
from conftest import TINY_LLAMA
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3_5ForCausalLM,
    Qwen3_5TextConfig,
)

from ner_utils.experiments import experiment
from ner_utils.forms.json_list import JsonForm
from ner_utils.models import generation
from ner_utils.models.generation import qlora
from ner_utils.models.generation.constraints import Constraints
from ner_utils.models.generation.decoding import Decoder, shares_beginnings

PAD, LIMIT = 0, 24
SHARED = [11, 12, 13, 14]
PROMPTS = [SHARED + list(range(20, 20 + 3 * size)) for size in (1, 9, 4, 2, 7, 1, 3, 5)]
HYBRID = {
    "vocab_size": 49152,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}


def one_by_one(model, end):
    """What `generate` answers; ``end`` is one token or a list."""
    settings = GenerationConfig(do_sample=False, max_new_tokens=LIMIT, pad_token_id=PAD, eos_token_id=end)
    for prompt in PROMPTS:
        ids = torch.tensor([prompt])
        output = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
        yield output[0, len(prompt) :].tolist()


def tokens_of(answers):
    return [answer.tokens for answer in sorted(answers)]


def log_probabilities(model, prompt, answer):
    """Of each token of an answer, from one pass over the whole."""
    with torch.inference_mode():
        scores = model(torch.tensor([prompt + answer])).logits[0].float().log_softmax(-1)
    return [float(scores[len(prompt) - 1 + at, token]) for at, token in enumerate(answer)]


@pytest.fixture(scope="module")
def llama():
    """Weights so large that answers wander, and do not repeat one token."""
    torch.manual_seed(0)
    config = LlamaConfig(**TINY_LLAMA, head_dim=32, vocab_size=97, initializer_range=0.5)
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def hybrid_folder(make_tiny_llama, tmp_path_factory):
    """A random Qwen3.5 of four layers, three of them linear attention, with another tokenizer."""
    folder = tmp_path_factory.mktemp("tiny-qwen")
    torch.manual_seed(0)
    Qwen3_5ForCausalLM(Qwen3_5TextConfig(**HYBRID)).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(make_tiny_llama() / name, folder)
    return folder


def test_rows_that_end_at_different_steps(llama):
    """Whatever token ends an answer: some rows leave early, some late, some never."""
    free = list(one_by_one(llama, end=1))
    ends = {token for answer in free for token in answer[1::5]}
    lengths = set()
    for end in sorted(ends)[:12]:
        decoder = Decoder(llama, SHARED, PAD, end, LIMIT)
        wanted = list(one_by_one(llama, end))
        for rows in (1, 3, len(PROMPTS)):  # rows that end make room for prompts that wait
            assert tokens_of(decoder.answers(PROMPTS, rows)) == wanted
        lengths.update(map(len, wanted))
    assert len(lengths) > 3, "the rows ended alike, which proves little"


BOTH_WAYS = pytest.mark.parametrize("shared", [SHARED, []], ids=["packed", "by the library"])


@BOTH_WAYS
def test_each_of_several_ends_ends_an_answer(llama, shared):
    """Generation configs list several, such as Gemma's end of a turn and end of text."""
    free = list(one_by_one(llama, end=1))
    ends = [free[0][3], free[1][5], free[2][2]]
    wanted = list(one_by_one(llama, ends))
    assert {answer[-1] for answer in wanted} >= set(ends), "an end that never comes proves nothing"
    assert tokens_of(Decoder(llama, shared, PAD, ends, LIMIT).answers(PROMPTS, 3)) == wanted


@BOTH_WAYS
def test_what_a_generation_config_adds_to_logits_is_left_out(llama, shared, monkeypatch):
    """Qwen2.5's config holds a repetition penalty: answers and log-probabilities are the model's own."""
    wanted = list(one_by_one(llama, 1))
    monkeypatch.setattr(llama, "generation_config", GenerationConfig(repetition_penalty=3.0, min_length=90))
    penalised = list(one_by_one(llama, 1))
    assert penalised != wanted
    answers = sorted(Decoder(llama, shared, PAD, 1, LIMIT).answers(PROMPTS, 3))
    assert tokens_of(answers) == wanted
    for prompt, (_, tokens, taken) in zip(PROMPTS, answers, strict=True):
        assert taken == pytest.approx(log_probabilities(llama, prompt, tokens), abs=1e-3)
    assert list(one_by_one(llama, 1)) == penalised, "the model's settings were lost"


def test_a_prompt_that_begins_otherwise_is_refused(llama):
    decoder = Decoder(llama, SHARED, PAD, 1, LIMIT)
    with pytest.raises(ValueError, match="begin"):
        list(decoder.answers([[*SHARED, 20], [SHARED[0], 99, *SHARED[2:], 20]], 2))


@BOTH_WAYS
def test_logits_that_are_no_numbers_are_an_error(llama, shared):
    """The largest of NaNs is a token, too: an overflow must not become an answer."""
    broken = copy.deepcopy(llama)
    torch.nn.init.constant_(broken.lm_head.weight, float("nan"))
    with pytest.raises(FloatingPointError, match="LlamaForCausalLM"):
        list(Decoder(broken, shared, PAD, 1, LIMIT).answers(PROMPTS, 3))


@BOTH_WAYS
def test_log_probabilities_are_the_models(llama, shared):
    answers = sorted(Decoder(llama, shared, PAD, 1, LIMIT).answers(PROMPTS, 3))
    assert [answer.index for answer in answers] == list(range(len(PROMPTS)))
    for prompt, (_, tokens, taken) in zip(PROMPTS, answers, strict=True):
        assert taken == pytest.approx(log_probabilities(llama, prompt, tokens), abs=1e-3)


def test_the_model_is_left_as_it_was(llama):
    """Between the steps of a decoder the model is anyone's."""
    wanted = list(one_by_one(llama, 1))
    steps = Decoder(llama, SHARED, PAD, 1, LIMIT).answers(PROMPTS, 3)
    first = next(steps)
    assert list(one_by_one(llama, 1)) == wanted
    assert tokens_of([first, *steps]) == wanted


def test_the_library_and_the_packed_loop_obey_constraints_alike(make_tiny_llama):
    """Tokens that must follow pass through the model in one step here, one by one there."""
    tokenizer = AutoTokenizer.from_pretrained(make_tiny_llama())
    torch.manual_seed(1)
    config = LlamaConfig(**TINY_LLAMA, head_dim=32, vocab_size=len(tokenizer), initializer_range=0.5)
    model, end = LlamaForCausalLM(config).eval(), tokenizer.eos_token_id
    sentences = [["Ada", "met", "Bo"], ["in", "São", "Paulo", "and", "Rome"], ["x"], ["Zoë", "Quinn"] * 4]
    makes = Constraints(
        "grounded", JsonForm({"PER": "person", "LOC": "location"}), tokenizer, len(tokenizer), 60
    )
    prompts = [SHARED + tokenizer(" ".join(words))["input_ids"] for words in sentences]
    decoder = Decoder(model, SHARED, PAD, end, 60)
    packed = sorted(decoder.answers(prompts, 2, [makes.of(words) for words in sentences]))
    plain = list(decoder._generate(prompts, [makes.of(words) for words in sentences]))
    assert [answer.tokens for answer in packed] == [tokens for tokens, _ in plain]
    for answer, (_, taken) in zip(packed, plain, strict=True):
        assert answer.log_probabilities == pytest.approx(taken, abs=1e-4)
        assert 0.0 in taken, "what was forced is certain"
    assert any(len(tokens) > 12 for tokens, _ in plain), "nothing but [] proves little"


def test_linear_attention_shares_nothing_and_answers_alike(hybrid_folder):
    model = AutoModelForCausalLM.from_pretrained(hybrid_folder).eval()
    assert not shares_beginnings(model.config)
    answers = Decoder(model, SHARED, PAD, 1, LIMIT).answers(PROMPTS, 3)
    assert tokens_of(answers) == list(one_by_one(model, 1))


def test_linear_attention_trains_and_predicts(hybrid_folder, make_run, twenty):
    run = make_run("tiny-qwen", {"max_new_tokens": 6}, weights_folder=hybrid_folder)
    record = qlora.train_generator(run, twenty[:8], twenty[:4])
    assert {"in_proj_qkv", "in_proj_z", "in_proj_a", "in_proj_b", "out_proj"} <= set(record["lora_layers"])
    predicted, _ = generation.predict_with_generator(run, experiment.best_checkpoint(run, record), twenty[:4])
    assert [prediction.id for prediction in predicted] == [sentence.id for sentence in twenty[:4]]
