"""Validation: what of a model's answer may be stored.

Each part stands on what it cites: a step on an executed call, a preference on the user's own words, a pitfall on a
message. What cites nothing, or something else than it says, is dropped and counted; texts go through `grounding`. Where
a part is proven but its wording is not, the wording of the rules takes its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from acontext_plugins.concurrency.background import yield_gil
from acontext_plugins.settings import ScoringRule
from acontext_plugins.transcript.negation import turns, unturned
from acontext_plugins.transcript.tool_calls import TranscriptCall
from acontext_plugins.transcript.user_turns import own_words, visible_words
from acontext_plugins.transcript.value_flow import normal
from acontext_store.types import Skill, Step

from .answer import ExperienceAnswer, Learned, PreferenceAnswer, Relation, ScoreAnswer
from .difficulty import Signal, is_hard, signal_of
from .distil import arguments_of
from .episode_body import EpisodeBody, EpisodeStep
from .grounding import Grounding, placeholders
from .placement import page_at
from .planning import ProcedureRuns, is_a_persons
from .procedures import MOST_STEPS, EpisodeRun, action_of, tidy, trace_of, typical_request, use_when_of, variables_of
from .prompt_view import CitableRun
from .rules import corroborated, pitfall_line

USE_WHEN_CHARS, ACTION_CHARS, LINE_CHARS, REASON_CHARS = 125, 160, 160, 200
MOST_PREFERENCES, MOST_PITFALLS, MOST_EXPERIENCES = 8, 8, 8
#: The share of a preference's telling words that the user said.
SPOKEN = 0.5


@dataclass(slots=True)
class Cited:
    """What of a run an experience rests on."""

    messages: dict[str, None] = field(default_factory=dict)
    calls: dict[str, None] = field(default_factory=dict)
    gave: set[str] = field(default_factory=set)


@dataclass(slots=True)
class ValidatedExperience:
    """An experience, every part of which stands on something that was said or done."""

    runs: list[CitableRun]
    relation: Relation
    #: The existing skill that it merges into, supersedes, or repeats.
    skill: Skill | None
    #: Which of its question's experiences it is.
    number: int
    cited: dict[str, Cited]
    signals: tuple[Signal, ...] = ()
    use_when: str = ""
    reason: str = ""
    preferences: list[str] = field(default_factory=list)
    steps: tuple[Step, ...] = ()
    #: The run that the steps were taken from.
    source: CitableRun | None = None
    trace: tuple[str, ...] = ()
    pitfalls: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    page: tuple[str, ...] = ()
    #: Parts that could not be proven, by kind.
    dropped: Counter[str] = field(default_factory=Counter)

    @property
    def successes(self) -> list[CitableRun]:
        return [shown for shown in self.runs if shown.run.success]

    @property
    def says_anything(self) -> bool:
        return bool(self.use_when and (self.steps or self.preferences or self.pitfalls))


def complaints(question: ProcedureRuns) -> Callable[[Learned], Sequence[str]]:
    """What is wrong with the first answer, where asking again may help; the second is taken as far as it is proven."""
    asked = False

    def check(answer: Learned) -> list[str]:
        nonlocal asked
        if asked:
            return []
        asked = True
        found: list[str] = []
        for number, experience in enumerate(answer.experiences[:MOST_EXPERIENCES]):
            found += [f"experiences.{number}.{problem}" for problem in _problems(question, experience)]
        return found

    return check


def _problems(question: ProcedureRuns, answer: ExperienceAnswer) -> list[str]:
    found = []
    if answer.relation in ("merge", "supersede") and answer.skill not in question.nearest:
        known = ", ".join(question.nearest) or "none, so it is new"
        found.append(f"skill: no existing skill {answer.skill[:20]!r}; there are {known}")
    if answer.relation != "nothing" and not answer.use_when.strip():
        found.append("use_when: say in 3 to 8 words when it applies")
    steps = [_made(question, step.call, step.tool_name) for step in answer.tool_sops]
    if steps and not any(steps):
        found.append("tool_sops: none cites an executed call of that tool")
    quotes = [_speaker(question, item.message, item.quote) for item in answer.preferences]
    if quotes and not any(quotes):
        found.append("preferences: none quotes a user's message verbatim")
    return found


def call_of(question: ProcedureRuns, local: str, tool: str) -> tuple[CitableRun, TranscriptCall] | None:
    """The executed call that a step cites, where it can be one: it worked, and so did the run."""
    made = _made(question, local, tool)
    return made if made and made[1].ran and not made[1].is_error and made[0].run.success else None


def _made(question: ProcedureRuns, local: str, tool: str) -> tuple[CitableRun, TranscriptCall] | None:
    """The executed call of that id, where it is of that tool."""
    shown = question.run_of_call(local.strip())
    if shown is None:
        return None
    call = shown.calls[local.strip()]
    return (shown, call) if call.tool.casefold() == tool.strip().casefold() else None


def _speaker(question: ProcedureRuns, local: str, quote: str) -> CitableRun | None:
    """The run in which the user said this, in that message."""
    shown = question.run_of_message(local.strip())
    if shown is None or not shown.ground.quotes(shown.messages[local.strip()].id, quote):
        return None
    return shown


def prove(
    question: ProcedureRuns,
    answer: Learned,
    *,
    signals: dict[str, tuple[Signal, ...]],
    rules: Sequence[ScoringRule],
    pages: Sequence[tuple[str, ...]],
    all_tasks: bool,
    personal: bool,
) -> list[ValidatedExperience]:
    """What this answer teaches, as far as it is proven."""
    scored = _scored(question, answer.scores, rules, signals)
    found = []
    for number, experience in enumerate(answer.experiences[:MOST_EXPERIENCES]):
        yield_gil()
        prover = _Prover(question, experience, number, scored, pages, all_tasks=all_tasks, personal=personal)
        found.append(prover.proven())
    return found


def _scored(
    question: ProcedureRuns,
    scores: Sequence[ScoreAnswer],
    rules: Sequence[ScoringRule],
    signals: dict[str, tuple[Signal, ...]],
) -> dict[str, tuple[Signal, ...]]:
    """The signals of each run, with those of the project's rules that the model has shown to apply."""
    found = {shown.task_id: list(signals.get(shown.task_id, ())) for shown in question.runs}
    for score in scores[:100]:
        shown = question.run_of_message(score.message.strip())
        rule = rules[score.rule - 1] if 1 <= score.rule <= len(rules) else None
        if shown is not None and rule is not None and _was_said(shown, score):
            found[shown.task_id].append(signal_of(rule))
    return {task_id: tuple(dict.fromkeys(items)) for task_id, items in found.items()}


def _was_said(shown: CitableRun, score: ScoreAnswer) -> bool:
    """Whether a user or the agent said these words in that message, and no tool before them."""
    message = shown.messages[score.message.strip()]
    quote = normal(score.quote)
    if message.role not in ("user", "assistant") or len(quote) < 4:
        return False
    own = own_words(message.text) if message.role == "user" else visible_words(message.text)
    return quote in normal(own) and not Grounding([shown.ground]).echoes(quote)


class _Prover:
    """One experience, part by part."""

    def __init__(
        self,
        question: ProcedureRuns,
        answer: ExperienceAnswer,
        number: int,
        scored: dict[str, tuple[Signal, ...]],
        pages: Sequence[tuple[str, ...]],
        *,
        all_tasks: bool,
        personal: bool,
    ) -> None:
        self._question = question
        self._answer = answer
        self._pages = pages
        self._all_tasks = all_tasks
        self._scored = scored
        skill = question.nearest.get(answer.skill.strip())
        grounds = [shown.ground for shown in question.runs]
        self._literals = corroborated([run for run in question.procedure if run.success])
        constants = set(self._literals.values())
        known = _words_of(skill) if skill is not None and answer.relation == "merge" else ()
        self._grounds = Grounding(grounds, constants=constants, known=known)
        #: What the user wished may name an address where the space allows it; what is to be done never does.
        self._wishes = Grounding(grounds, constants=constants, personal=True) if personal else self._grounds
        self._found = ValidatedExperience([], answer.relation, skill, number, {})
        self._dropped = self._found.dropped

    def proven(self) -> ValidatedExperience:
        found, answer = self._found, self._answer
        named = {local.strip() for local in answer.runs}
        if answer.relation == "nothing":
            found.runs = [shown for shown in self._question.runs if shown.id in named]
            return found
        for variable in answer.variables[:40]:
            self._dropped["variables"] += not self._grounds.declare(variable.name, variable.source)
        self._preferences()
        self._pitfalls()
        calls = self._cited_calls()
        found.runs = [shown for shown in self._question.runs if shown.id in named or shown.task_id in found.cited]
        if not found.runs:
            return found
        found.signals = tuple(dict.fromkeys(s for shown in found.runs for s in self._scored[shown.task_id]))
        if self._all_tasks or is_hard(found.signals):
            self._steps(calls)
        elif found.successes:
            # Easy: what it did is what anybody would do. What the user wished stays.
            found.pitfalls = [] if len(found.successes) == len(found.runs) else found.pitfalls
        self._occasion()
        self._place()
        self._variables()
        self._dropped["values"] = sum(grounds.masked for grounds in {self._grounds, self._wishes})
        found.dropped = Counter({name: count for name, count in self._dropped.items() if count})
        return found

    def _cite(
        self, shown: CitableRun, gave: str, *, messages: Sequence[str] = (), call: TranscriptCall | None = None
    ) -> None:
        cited = self._found.cited.setdefault(shown.task_id, Cited())
        cited.gave.add(gave)
        cited.messages.update(dict.fromkeys(messages))
        if call is not None:
            cited.messages[call.message_id] = None
            if call.call_id and len(call.call_id) <= 80:
                cited.calls[call.call_id] = None

    # -- steps

    def _cited_calls(self) -> list[tuple[CitableRun, TranscriptCall, str]]:
        """Executed calls of one run, each once, in the order in which they were made, with the model's words."""
        cited: dict[tuple[str, int], tuple[CitableRun, TranscriptCall, str]] = {}
        for step in self._answer.tool_sops[: 2 * MOST_STEPS]:
            found = call_of(self._question, step.call, step.tool_name)
            place = (found[0].id, found[1].index) if found else None
            if found is None or place is None or place in cited:
                self._dropped["steps"] += 1
                continue
            cited[place] = (*found, step.action)
        runs = Counter(run for run, _ in cited)
        if not runs:
            return []
        best = min(runs, key=lambda run: (-runs[run], run))
        kept = [item for (run, _), item in cited.items() if run == best]
        self._dropped["steps"] += len(cited) - len(kept)
        ordered = sorted(kept, key=lambda item: item[1].index)
        self._dropped["order"] += ordered != kept
        return ordered[:MOST_STEPS]

    def _steps(self, calls: Sequence[tuple[CitableRun, TranscriptCall, str]]) -> None:
        if not calls:
            return
        source = calls[0][0]
        shapes: list[EpisodeStep] = []
        steps = []
        for _, call, said in calls:
            shape = EpisodeStep(tool=call.tool, args=arguments_of(call, source.ground.flow))
            shapes.append(shape)
            action = self._grounds.text(said, ACTION_CHARS)
            if action is None:
                self._dropped["wordings"] += 1
                action = action_of(shape, self._literals)
            steps.append(Step(tool_name=call.tool, action=action))
            self._cite(source, "body", call=call)
        run = EpisodeRun(source.task_id, source.run.session_id, source.run.created_at, EpisodeBody(steps=shapes))
        self._found.source = source
        self._found.steps = tuple(steps)
        self._found.trace = trace_of(run, self._literals)
        self._found.variables = variables_of(run, self._literals)

    # -- words

    def _preferences(self) -> None:
        for item in self._answer.preferences[: 2 * MOST_PREFERENCES]:
            shown = _speaker(self._question, item.message, item.quote)
            text = shown and self._wish(item, own_words(shown.messages[item.message.strip()].text))
            if not shown or not text:
                self._dropped["preferences"] += 1
                continue
            if text not in self._found.preferences and len(self._found.preferences) < MOST_PREFERENCES:
                self._found.preferences.append(text)
                self._cite(shown, "preference", messages=[shown.messages[item.message.strip()].id])

    def _wish(self, item: PreferenceAnswer, said: str) -> str | None:
        """The model's words for it, where they are the user's and do not turn them round; else the user's own."""
        turned = turns(item.text, item.quote, said)
        self._dropped["turned"] += turned
        words = None if turned else self._wishes.text(item.text, LINE_CHARS, share=SPOKEN, spoken=True)
        return words or self._wishes.text(tidy(unturned(item.quote, said)), LINE_CHARS, share=0.0)

    def _pitfalls(self) -> None:
        for item in self._answer.pitfalls[: 2 * MOST_PITFALLS]:
            shown = self._question.run_of_call(item.call.strip())
            call = shown.calls[item.call.strip()] if shown else None
            if item.call.strip() and call is None:
                self._dropped["pitfalls"] += 1
                continue
            places = [
                (run, local.strip())
                for local in item.messages[:20]
                if (run := self._question.run_of_message(local.strip())) is not None
            ]
            shown = shown or next((run for run, _ in places), None)
            text = self._grounds.text(item.text, LINE_CHARS) or (shown and call and _by_the_rules(shown, call))
            if shown is None or not places or not text:
                self._dropped["pitfalls"] += 1
                continue
            if text not in self._found.pitfalls and len(self._found.pitfalls) < MOST_PITFALLS:
                self._found.pitfalls.append(text)
                messages = [run.messages[local].id for run, local in places if run is shown]
                self._cite(shown, "pitfall", messages=messages, call=call)

    def _occasion(self) -> None:
        found = self._found
        said = self._grounds.text(self._answer.use_when, USE_WHEN_CHARS)
        if said is None:
            self._dropped["wordings"] += 1
            said = self._occasion_by_the_rules()
        found.use_when = said
        if self._answer.relation == "supersede":
            found.reason = self._grounds.text(self._answer.reason, REASON_CHARS) or ""

    def _occasion_by_the_rules(self) -> str:
        if self._found.relation == "merge" and self._found.skill is not None:
            return self._found.skill.body.use_when
        run = (self._found.successes or self._found.runs)[0].run
        said = use_when_of(run, [run]) if run.steps else typical_request(run, [run])
        return "" if self._grounds.echoes(said) else said

    def _place(self) -> None:
        pages = {tuple(part.casefold() for part in page) for page in self._pages}
        wanted = tuple(part.strip().casefold() for part in self._answer.place.split("/") if part.strip())
        if wanted in pages:
            self._found.page = page_at(self._answer.place, self._pages)
            return
        spoken = self._answer.place[:200].replace("_", " ").replace("-", " ")
        kept = [self._grounds.text(part, 80, share=0.0) for part in spoken.split("/")]
        if all(part is not None and not placeholders(part) for part in kept):
            self._found.page = page_at("/".join(part for part in kept if part), self._pages)
        else:
            self._dropped["place"] += 1

    def _variables(self) -> None:
        """Where the values come from of all the variables that the texts name."""
        found = self._found
        texts = [found.use_when, *found.preferences, *found.pitfalls, *(step.action for step in found.steps)]
        for name in dict.fromkeys(name for text in texts for name in placeholders(text)):
            if source := self._grounds.source_of(name):
                found.variables.setdefault(name, source)


def _by_the_rules(shown: CitableRun, call: TranscriptCall) -> str | None:
    """What the rules have to say about this call's going wrong."""
    for pitfall in shown.run.body.pitfalls:
        if pitfall.tool == call.tool and call.message_id in pitfall.messages:
            return pitfall_line(pitfall) or None
    return None


def _words_of(skill: Skill) -> list[str]:
    body = skill.body
    return [body.use_when, *body.preferences.splitlines(), *body.pitfalls, *(step.action for step in body.tool_sops)]


def may_change(skill: Skill | None) -> bool:
    """Whether a model may change this skill."""
    return skill is not None and not is_a_persons(skill) and skill.status != "retired"
