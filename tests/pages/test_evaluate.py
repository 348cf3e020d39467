"""The Evaluate page: empty, unfinished, finished; numbers as stored, answers as plain text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

if TYPE_CHECKING:
    from curation.workspace import Workspace

Open = Callable[..., AppTest]
Finish = Callable[..., dict[str, Any]]


def words(app: AppTest) -> str:
    kinds = ("markdown", "caption", "warning", "error", "info", "subheader")
    return "\n".join(e.value for kind in kinds for e in app.get(kind)).replace("\\", "")


def keyed(elements: Any, key: str) -> Any:
    return next(e for e in elements if str(e.key).startswith(key))


def part(app: AppTest, name: str) -> AppTest:
    """Show one part of the page."""
    keyed(app.segmented_control, "part").set_value(name).run()
    assert not app.exception
    return app


def test_without_an_experiment_it_leads_to_training(opened: Open, sums: str) -> None:
    app = opened("evaluate", sums)
    assert not app.exception
    assert "Nothing has been tuned yet" in words(app)
    assert "Train" in [b.label for b in app.button]


def test_an_unfinished_experiment_is_not_shown_as_a_result(opened: Open, workspace: Workspace, sums: str) -> None:
    workspace.add_experiment(sums, "Waiting", key="", config={})
    app = opened("evaluate", sums)
    assert not app.exception
    assert "No experiment has finished yet" in words(app)


def test_each_arm_shows_the_stored_exact_match(opened: Open, workspace: Workspace, sums: str, finish: Finish) -> None:
    result = finish(workspace, sums)
    app = opened("evaluate", sums)
    assert not app.exception
    assert [m.label.replace("\\", "") for m in app.metric] == ["Zero-shot", "Random", "Selected", "Full pool"]
    for metric, arm in zip(app.metric, ("zero_shot", "random", "selected", "full"), strict=True):
        assert metric.value == f"{100 * result['arms'][arm]['metrics']['exact_match']['mean']:.1f} %"
    assert "Exact match of each arm" in words(app)
    table = app.dataframe[0].value
    assert table["Arm"].tolist() == ["Zero-shot", "Random", "Selected", "Full pool"]
    assert len(app.get("plotly_chart")) == 1


def test_weak_evidence_is_warned_about(opened: Open, workspace: Workspace, sums: str, finish: Finish) -> None:
    finish(workspace, sums, seeds=1, better=False, arms=("zero_shot", "random", "selected"))
    text = words(opened("evaluate", sums))
    for said in ("Only 12 test examples", "One seed only", "Tuning lost", "arXiv 2602.14696"):
        assert said in text


def test_answers_are_plain_text_and_can_be_filtered(
    opened: Open, workspace: Workspace, sums: str, finish: Finish, hostile: str
) -> None:
    finish(workspace, sums)
    app = part(opened("evaluate", sums), "answers")
    shown = [t.value for t in app.text]
    assert hostile in shown
    assert not any(hostile in m.value for m in app.markdown)
    everything = "\n".join(m.value for m in app.markdown)
    assert "<script>" not in everything and not any(m.allow_html for m in app.markdown)
    keyed(app.selectbox, "answers-show").set_value("gained").run()
    assert not app.exception
    assert "of 12 test examples" in words(app)
    marks = [m.value for m in app.markdown if m.value.startswith(("**Random", "**Selected"))]
    assert marks and all(("right" in m) == m.startswith("**Selected") for m in marks)


def test_answers_are_paged(opened: Open, workspace: Workspace, sums: str, finish: Finish) -> None:
    finish(workspace, sums)
    app = part(opened("evaluate", sums), "answers")
    page = keyed(app.number_input, "answers-page")
    assert page.label == "Page of 3"
    page.set_value(3).run()
    assert "Test example 11" in words(app) and "Test example 1\n" not in words(app)
    keyed(app.selectbox, "answers-show").set_value("right").run()  # fewer pages than 3
    assert not app.exception


def test_another_experiment_can_be_chosen(opened: Open, workspace: Workspace, sums: str, finish: Finish) -> None:
    finish(workspace, sums)
    finish(workspace, sums, arms=("zero_shot", "selected"))
    app = opened("evaluate", sums)
    assert len(app.metric) == 2
    choice = keyed(app.selectbox, "experiment")
    assert [o.split(" · ")[0] for o in choice.options] == ["Try 2", "Try 1"]
    choice.set_value("1").run()
    assert len(app.metric) == 4


def test_the_chart_follows_the_metric(opened: Open, workspace: Workspace, sums: str, finish: Finish) -> None:
    finish(workspace, sums)
    app = opened("evaluate", sums)
    keyed(app.segmented_control, "metric").set_value("test_loss").run()
    assert not app.exception
    assert "Test loss, nats a token" in app.get("plotly_chart")[0].proto.spec


@pytest.mark.parametrize("page", ["evaluate", "report"])
def test_a_damaged_workspace_is_one_sentence_not_a_crash(
    opened: Open, workspace: Workspace, sums: str, finish: Finish, page: str
) -> None:
    import shutil

    result = finish(workspace, sums)
    shutil.rmtree(workspace.root / "artefacts" / "dataset" / result["tests"])
    shutil.rmtree(workspace.root / "artefacts" / "dataset" / result["queries"])
    app = opened(page, sums)
    assert not app.exception
    assert app.error


def test_an_experiment_that_failed_says_why(
    opened: Open, workspace: Workspace, sums: str, job: Callable[..., str]
) -> None:
    failed = job(
        workspace, sums, "failed", error="numeric_match can judge none of the 12 tests (row a: it has no number)"
    )
    workspace.add_experiment(sums, "Failing", job_id=failed, config={})
    text = words(opened("evaluate", sums))
    assert "numeric_match can judge none of the 12 tests" in text and "No experiment has finished yet" in text


def test_one_size_says_how_to_get_a_budget_curve(opened: Open, workspace: Workspace, sums: str, finish: Finish) -> None:
    finish(workspace, sums)
    app = part(opened("evaluate", sums), "budgets")
    assert "tuned one size only" in words(app) and "further budgets on the Train page" in words(app)
    assert not app.get("plotly_chart")


def test_several_sizes_make_a_curve_with_a_sentence_each(
    opened: Open, workspace: Workspace, sums: str, finish: Finish, result_of: Callable[..., Any]
) -> None:
    finish(workspace, sums)
    result_of(workspace, sums, sizes=True)
    app = part(opened("evaluate", sums), "budgets")
    assert "Random: from 4 examples on no gain can be seen" in words(app)
    assert "Selected: gains go on up to the largest size tried, 12 examples" in words(app)
    assert len(app.get("plotly_chart")) == 1
    assert app.dataframe[0].value["Examples"].tolist() == ["4", "12"]


def test_subgroups_show_small_ones_with_care(opened: Open, workspace: Workspace, sums: str, finish: Finish) -> None:
    finish(workspace, sums)
    app = part(opened("evaluate", sums), "subgroups")
    table = app.dataframe[0].value
    assert table["Subgroup"].tolist() == ["<b>s0</b>", "<b>s1</b>", "<b>s2</b>"] and table["Rows"].tolist() == [4, 4, 4]
    assert "3 of 3 subgroups have too few rows" in words(app)
    assert "<b>" not in app.get("plotly_chart")[0].proto.spec


def test_subgroups_leave_out_a_model_that_no_metric_of_test_rows_judges(
    opened: Open, workspace: Workspace, sums: str, finish: Finish, result_of: Callable[..., dict[str, Any]]
) -> None:
    arms = finish(workspace, sums)["arms"]
    result_of(workspace, sums, arms={**arms, "Other": {**arms["zero_shot"], "metrics": {}}}, models={"Other": {}})
    app = part(opened("evaluate", sums), "subgroups")
    assert "Other" not in keyed(app.selectbox, "subgroups-against").options


def test_cost_is_told_with_and_without_a_price(opened: Open, workspace: Workspace, sums: str, finish: Finish) -> None:
    finish(workspace, sums)
    app = part(opened("evaluate", sums), "cost")
    assert "Price" not in app.dataframe[0].value and app.dataframe[0].value["Device time"].tolist()[1] == "1.3 s"
    keyed(app.number_input, "price").set_value(3.0).run()
    assert app.dataframe[0].value["Price"].tolist()[1] == "0.0011"  # 4 s over 3 seeds


def test_chosen_runs_stand_side_by_side_and_their_differences_are_marked(
    opened: Open, workspace: Workspace, sums: str, finish: Finish, hostile: str
) -> None:
    finish(workspace, sums)
    app = part(opened("evaluate", sums), "answers")
    keyed(app.multiselect, "answers-of").set_value(["zero_shot/0", "selected/2"]).run()
    heads = [m.value for m in app.markdown if m.value.startswith("**")]
    assert heads and all(h.startswith(("**Zero\\-shot**", "**Selected\\, seed 2**")) for h in heads)
    keyed(app.selectbox, "answers-against").set_value("expected").run()
    assert not app.exception
    marked = [m.value for m in app.markdown if "-background[" in m.value]
    assert marked and any(":blue-background[" in m and ":gray[~~" in m for m in marked)
    assert not any(hostile in m.value or "<script>" in m.value or m.allow_html for m in app.markdown)
    keyed(app.multiselect, "answers-of").set_value([]).run()
    assert "Choose at least one arm" in words(app)


def test_votes_are_blind_kept_and_taken_back(
    opened: Open, workspace: Workspace, sums: str, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation import serving, votes

    monkeypatch.setattr(serving, "owner", lambda _: "")
    finish(workspace, sums)
    app = part(opened("evaluate", sums), "vote")
    heads = [m.value for m in app.markdown if m.value in ("**Left**", "**Right**")]
    assert heads == ["**Left**", "**Right**"] and "Selected" not in words(app)
    keyed(app.text_input, "voter").set_value("Ada").run()
    keyed(app.button, "vote.left").click().run()
    key = "1" + "b" * 31
    (cast,) = votes.log(workspace, key)
    assert (cast.author, cast.better) == ("Ada", cast.left) and {cast.left, cast.right} == {"selected/0", "random/0"}
    text = words(app)
    assert "Your last vote:" in text and "Selected, seed 0" in text and "1 prompt, 1 voter" in text
    assert "not distinguishable to people" in text
    keyed(app.button, "vote.tie").click().run()
    monkeypatch.setattr(serving, "owner", lambda _: "Ada")
    again = part(opened("evaluate", sums), "vote")
    assert "voter" not in str([t.key for t in again.text_input])  # who one is is known by now
    assert "2 of" in words(again) and "prompts voted on" in words(again)
    next(b for b in again.button if b.label == "Take it back").click().run()
    assert len(votes.standing(votes.log(workspace, key))) == 1 and len(votes.log(workspace, key)) == 3


def test_the_judge_is_priced_before_anything_leaves(
    opened: Open, workspace: Workspace, sums: str, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation import tasks

    started: list[Any] = []
    monkeypatch.setattr(tasks, "start", lambda *given: started.append(given) or "x")
    finish(workspace, sums)
    app = part(opened("evaluate", sums), "judge")
    keyed(app.number_input, "judge.input_price").set_value(1000.0).run()
    text = words(app)
    assert "What leaves this machine:" in text and "requests to https:\u2060//api.openai.com/v1" in text
    assert "in your currency" in text and "No key is set in the environment variable OPENAI_API_KEY" in text
    keyed(app.text_area, "judge-prompt").set_value("{question} {first}").run()
    assert "The judge's prompt lacks {second}" in words(app) and not started
    keyed(app.text_area, "judge-prompt").set_value("{question} {first} {second}").run()
    next(b for b in app.button if b.label.startswith("Send and judge")).click().run()
    ((_, pid, kind, asked, _title),) = started
    assert (pid, kind, asked["first"], asked["second"]) == (sums, "judge", "selected/0", "random/0")
    assert asked["judge"]["prompt"] == "{question} {first} {second}" and asked["experiment"] == "1" + "b" * 31


def test_without_the_extra_the_judge_says_what_to_install(
    opened: Open, workspace: Workspace, sums: str, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation import judging

    monkeypatch.setattr(judging, "installed", lambda: False)
    finish(workspace, sums)
    app = part(opened("evaluate", sums), "judge")
    assert "pip install 'winnow-curation[judge]'" in words(app)
    assert not any(b.label.startswith("Send") for b in app.button)


def test_a_question_goes_to_both_models_and_each_knows_its_own_words(
    opened: Open, workspace: Workspace, sums: str, finish: Finish, monkeypatch: pytest.MonkeyPatch, hostile: str
) -> None:
    from curation import replies

    asked: list[Any] = []

    def reply(_ws: Any, _result: Any, run: str, turns: list[Any], **options: Any) -> str:
        asked.append((run, turns, options))
        return f"{run} {hostile}"

    monkeypatch.setattr(replies, "reply", reply)
    finish(workspace, sums)
    app = part(opened("evaluate", sums), "chat")
    assert "9 of 10 models are not in this workspace" in words(app)
    assert keyed(app.multiselect, "chat-of").options == ["Zero-shot"]
    monkeypatch.setattr(replies, "can_talk", lambda *_: True)
    app = part(opened("evaluate", sums), "chat")
    app.chat_input[0].set_value("Hot?").run()
    app.chat_input[0].set_value("Cold?").run()
    assert not app.exception
    runs = ["zero_shot/0", "selected/0"]
    assert [run for run, _, _ in asked] == runs * 2
    assert asked[0][2] == {"max_new_tokens": 128, "temperature": 0.0, "seed": 0}
    assert asked[3][1] == [("user", "Hot?"), ("assistant", f"selected/0 {hostile}"), ("user", "Cold?")]
    assert [t.value for t in app.text].count(f"zero_shot/0 {hostile}") == 2
    assert not any(hostile in m.value for m in app.markdown)
    app = part(opened("evaluate", sums), "chat")  # another tab
    assert [t.value for t in app.text].count("Hot?") == 1
    next(b for b in app.button if b.label == "Begin anew").click().run()
    assert not app.text and "Begin anew" not in [b.label for b in app.button]


def test_a_check_of_nearness_is_told_even_before_anything_is_tuned(
    opened: Open, workspace: Workspace, sums: str, finish: Finish, checked: Callable[..., Any]
) -> None:
    finish(workspace, sums)
    app = part(opened("evaluate", sums), "nearness")
    assert "Not checked yet." in words(app) and "Set up the check" in [b.label for b in app.button]
    checked(workspace)
    app.run()
    assert "Nearer rows teach better, by test loss (Spearman 0.90" in words(app)
    assert "not shown to predict exact match" in words(app) and len(app.get("plotly_chart")) == 1
    assert "An earlier version made this check and did not keep how it tuned" in words(app)
    fresh = workspace.create_project("Empty").id
    assert "Nearness" not in words(opened("evaluate", fresh))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"unanswered": {"selected": [30, 36]}}, "The arm Selected wrote nothing to 30 of 36 test prompts"),
        ({"n_test": 1}, "There is one test example: it says next to nothing of others; load more of them."),
        ({"n_test": 15}, "Exact match judged 12 of 15 test examples; the others lack a field"),
    ],
)
def test_what_went_wrong_is_one_sentence_with_a_next_step(
    opened: Open,
    workspace: Workspace,
    sums: str,
    finish: Finish,
    result_of: Callable[..., Any],
    changes: dict[str, Any],
    said: str,
) -> None:
    finish(workspace, sums)
    result_of(workspace, sums, **changes)
    assert said in words(opened("evaluate", sums))
