using System.Text.Json;

namespace Millrace.Workflows.Tests;

/// <summary>The engine alone: histories in, events out, and no log in sight.</summary>
public sealed class SagaEngineTests
{
    [Fact]
    public void Runs_its_steps_one_after_the_other_and_ends_with_the_result()
    {
        var instance = new Instance(OrderSaga.Definition, new Order(7));

        Assert.Equal(["order"], instance.Advance());
        Assert.Equal(["stock"], instance.Complete("order"));
        Assert.Equal(["payment"], instance.Complete("stock"));
        Assert.Equal(["ship"], instance.Complete("payment", new Receipt("r-1")));
        Assert.Equal(["ended"], instance.Complete("ship"));

        Assert.Equal(SagaState.Completed, instance.History.State);
        Assert.Equal("r-1", instance.History.Ended!.Result!.Value.GetString());
    }

    [Fact]
    public void Decides_nothing_twice()
    {
        var instance = new Instance(OrderSaga.Definition, new Order(7));
        instance.Advance();

        Assert.Empty(instance.Advance());
    }

    [Fact]
    public void A_rejected_step_undoes_what_was_done_before_it_in_reverse_and_not_itself()
    {
        var instance = new Instance(OrderSaga.Definition, new Order(7));
        instance.Advance();
        instance.Complete("order");
        instance.Complete("stock");

        Assert.Equal(["compensation-started", "undo stock"], instance.Answer("payment", ReplyStatus.Rejected, "card-declined"));
        Assert.Equal(SagaState.Compensating, instance.History.State);
        Assert.Equal(["undo order"], instance.Complete("undo stock"));
        Assert.Equal(["ended"], instance.Complete("undo order"));

        Assert.Equal(SagaState.Compensated, instance.History.State);
        Assert.Equal("Step 'payment' was rejected: card-declined.", instance.History.Reason);
    }

    [Fact]
    public void A_step_with_an_unknown_outcome_is_undone_too()
    {
        var instance = new Instance(OrderSaga.Definition, new Order(7));
        instance.Advance();
        instance.Complete("order");
        instance.Complete("stock");

        Assert.Equal(["compensation-started", "undo payment"], instance.Answer("payment", ReplyStatus.Failed, "TimeoutException"));
    }

    [Fact]
    public void A_rejected_first_step_leaves_nothing_to_undo()
    {
        var instance = new Instance(OrderSaga.Definition, new Order(7));
        instance.Advance();

        Assert.Equal(["compensation-started", "ended"], instance.Answer("order", ReplyStatus.Rejected, "duplicate"));
        Assert.Equal(SagaState.Compensated, instance.History.State);
    }

    [Fact]
    public void A_rejected_pivot_compensates_since_it_did_not_happen()
    {
        Instance instance = UpToThePivot();

        Assert.Equal(["compensation-started", "undo payment"], instance.Answer("ship", ReplyStatus.Rejected, "no-carrier"));
    }

    [Fact]
    public void A_pivot_with_an_unknown_outcome_waits_for_a_person()
    {
        Instance instance = UpToThePivot();

        Assert.Equal(["ended"], instance.Answer("ship", ReplyStatus.Failed, "TimeoutException"));
        Assert.Equal(SagaState.NeedsAttention, instance.History.State);
        Assert.Contains("no way back", instance.History.Reason, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ReplyStatus.Rejected)]
    [InlineData(ReplyStatus.Failed)]
    public void An_undo_that_does_not_succeed_waits_for_a_person(ReplyStatus status)
    {
        var instance = new Instance(OrderSaga.Definition, new Order(7));
        instance.Advance();
        instance.Complete("order");
        instance.Answer("stock", ReplyStatus.Rejected, "out-of-stock");

        Assert.Equal(["ended"], instance.Answer("undo order", status, "closed"));
        Assert.Equal(SagaState.NeedsAttention, instance.History.State);
        Assert.Contains("'undo order'", instance.History.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void A_command_that_cannot_be_sent_is_told_in_sentences()
    {
        var instance = new Instance(OrderSaga.Definition, new Order(7));
        var engine = new SagaEngine(OrderSaga.Definition, new SagaSerializer(_ => throw new InvalidOperationException("Nobody handles it."), Instance.Json));
        string difference = Assert.IsType<SagaDecision.Refuse>(engine.Advance(instance.History, Instance.Start, "m-1")).Difference;
        Assert.EndsWith("which cannot be sent: Nobody handles it.", difference, StringComparison.Ordinal);
    }

    [Fact]
    public void A_saga_may_catch_a_rejection_and_take_another_way()
    {
        var instance = new Instance(SecondCardSaga.Definition, new Order(7));
        instance.Advance();

        Assert.Equal(["second card"], instance.Answer("first card", ReplyStatus.Rejected, "card-declined"));
        Assert.Equal(["ended"], instance.Complete("second card", new Receipt("r-2")));
        Assert.Equal(SagaState.Completed, instance.History.State);
    }

    [Fact]
    public void Steps_side_by_side_are_all_answered_before_the_saga_compensates()
    {
        var instance = new Instance(ParallelSaga.Definition, new Order(7));

        Assert.Equal(["left", "right"], instance.Advance());
        Assert.Empty(instance.Answer("left", ReplyStatus.Rejected, "no"));
        Assert.Equal(["compensation-started", "undo right"], instance.Complete("right"));
    }

    [Fact]
    public void An_exception_of_the_sagas_own_code_compensates_and_says_which()
    {
        var instance = new Instance(ThrowingSaga.Definition, new Order(7));
        instance.Advance();

        Assert.Equal(["compensation-started", "undo order"], instance.Complete("order"));
        Assert.Equal("InvalidOperationException: broken", instance.History.Reason);
    }

    [Fact]
    public void Code_that_no_longer_agrees_with_the_history_is_refused_and_nothing_is_recorded()
    {
        var instance = new Instance(OrderSaga.Definition, new Order(7));
        instance.Advance();
        instance.Complete("order");
        var other = new SagaEngine(SecondCardSaga.Definition, Instance.Serializer);

        SagaDecision decision = other.Advance(instance.History, Instance.Start, "m-1");

        string difference = Assert.IsType<SagaDecision.Refuse>(decision).Difference;
        Assert.Contains("step 0 is do 'order' (create-order) in the history and do 'first card' (charge) in the code", difference, StringComparison.Ordinal);
    }

    [Fact]
    public void Code_that_schedules_fewer_steps_than_its_history_has_is_refused()
    {
        var instance = new Instance(OrderSaga.Definition, new Order(7));
        instance.Advance();
        instance.Complete("order");
        var other = new SagaEngine(ThrowingSaga.Definition, Instance.Serializer);

        string difference = Assert.IsType<SagaDecision.Refuse>(other.Advance(instance.History, Instance.Start, "m-1")).Difference;

        Assert.Contains("'stock'", difference, StringComparison.Ordinal);
        Assert.Contains("the code does not reach it", difference, StringComparison.Ordinal);
    }

    [Fact]
    public void Waiting_for_anything_but_a_step_is_refused()
    {
        var instance = new Instance(SleepingSaga.Definition, new Order(7));

        SagaDecision decision = instance.Engine.Advance(instance.History, Instance.Start, "m-1");

        Assert.Contains("not one of its steps", Assert.IsType<SagaDecision.Refuse>(decision).Difference, StringComparison.Ordinal);
    }

    [Fact]
    public void Time_ids_and_randomness_are_the_same_on_every_replay()
    {
        var instance = new Instance(AmbientSaga.Definition, new Order(7));
        instance.Advance();
        JsonElement first = instance.History.Steps[0].Command.Body;
        instance.Complete("first");
        var again = new Instance(AmbientSaga.Definition, new Order(7));
        again.Advance();

        Assert.Equal(first.GetRawText(), again.History.Steps[0].Command.Body.GetRawText());
        Assert.NotEqual(first.GetRawText(), instance.History.Steps[1].Command.Body.GetRawText());
    }

    [Fact]
    public void Every_event_reads_back_from_its_JSON_as_it_was_written()
    {
        var instance = new Instance(OrderSaga.Definition, new Order(7));
        instance.Advance();
        instance.Complete("order");
        instance.Answer("stock", ReplyStatus.Rejected, "out-of-stock");
        instance.Complete("undo order");

        var copy = new SagaHistory(instance.History.InstanceId);
        foreach (HistoryEvent next in instance.History.Events)
        {
            byte[] json = JsonSerializer.SerializeToUtf8Bytes(next, Instance.Json);
            copy.Add(JsonSerializer.Deserialize<HistoryEvent>(json, Instance.Json)!);
        }

        Assert.Equal(SagaState.Compensated, copy.State);
        Assert.Equal(instance.History.Reason, copy.Reason);
        Assert.Equal(instance.History.Steps.Select(step => step.Name), copy.Steps.Select(step => step.Name));
    }

    [Fact]
    public void Code_that_leaves_the_sagas_flow_is_refused_and_never_compensated()
    {
        var instance = new Instance(StrayingSaga.Definition, new Order(7));
        instance.Advance();
        instance.History.Add(new StepReplied(Instance.Start, 0, ReplyStatus.Completed, Reason: null, Body: null));

        SagaDecision decision = instance.Engine.Advance(instance.History, Instance.Start, "m-1");

        Assert.Contains("ConfigureAwait(false)", Assert.IsType<SagaDecision.Refuse>(decision).Difference, StringComparison.Ordinal);
    }

    [Fact]
    public void A_command_that_nobody_handles_any_more_is_refused_and_not_compensated()
    {
        var instance = new Instance(OrderSaga.Definition, new Order(7));
        instance.Advance();
        instance.Complete("order");
        instance.History.Add(new StepReplied(Instance.Start, 1, ReplyStatus.Completed, Reason: null, Body: null));
        var misconfigured = new SagaSerializer(_ => throw new InvalidOperationException("nobody handles it"), Instance.Json);

        SagaDecision decision = new SagaEngine(OrderSaga.Definition, misconfigured).Advance(instance.History, Instance.Start, "m-1");

        Assert.Contains("nobody handles it", Assert.IsType<SagaDecision.Refuse>(decision).Difference, StringComparison.Ordinal);
    }

    [Fact]
    public void An_input_that_its_type_refuses_is_shown_and_holds_up_nobody_else()
    {
        var instance = new Instance(PickySaga.Definition, new Order(0));

        SagaDecision decision = instance.Engine.Advance(instance.History, Instance.Start, "m-1");

        Assert.Contains("no order has the id 0", Assert.IsType<SagaDecision.Refuse>(decision).Difference, StringComparison.Ordinal);
    }

    [Fact]
    public void A_result_that_is_not_JSON_is_shown()
    {
        var instance = new Instance(PointerSaga.Definition, new Order(7));

        SagaDecision decision = instance.Engine.Advance(instance.History, Instance.Start, "m-1");

        Assert.Contains("is not JSON", Assert.IsType<SagaDecision.Refuse>(decision).Difference, StringComparison.Ordinal);
    }

    [Fact]
    public void Two_sagas_with_the_same_instance_id_make_different_ids()
    {
        var one = new Instance(AmbientSaga.Definition, new Order(7));
        var other = new Instance(AmbientSaga.Definition with { Name = "other" }, new Order(7));
        one.Advance();
        other.Advance();

        Assert.NotEqual(one.History.Steps[0].Command.Body.GetRawText(), other.History.Steps[0].Command.Body.GetRawText());
    }

    private static Instance UpToThePivot()
    {
        var instance = new Instance(OrderSaga.Definition, new Order(7));
        instance.Advance();
        instance.Complete("order");
        instance.Complete("stock");
        instance.Complete("payment", new Receipt("r-1"));
        return instance;
    }

    /// <summary>One instance, driven by hand: every answer goes into the history, and what follows is appended, as the shell does.</summary>
    private sealed class Instance
    {
        public static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
        public static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web);
        public static readonly SagaSerializer Serializer = new(Serialize, Json);

        private static readonly Dictionary<Type, string> CommandNames = new()
        {
            [typeof(CreateOrder)] = "create-order",
            [typeof(CancelOrder)] = "cancel-order",
            [typeof(Reserve)] = "reserve",
            [typeof(Release)] = "release",
            [typeof(Charge)] = "charge",
            [typeof(Refund)] = "refund",
            [typeof(Ship)] = "ship",
            [typeof(Note)] = "note",
        };

        private DateTimeOffset _now = Start;

        private static SerializedCommand Serialize(object command) =>
            new(CommandNames[command.GetType()], "commands", "7", JsonSerializer.SerializeToElement(command, command.GetType(), Json));

        public Instance(SagaDefinition definition, object input)
        {
            Engine = new SagaEngine(definition, Serializer);
            JsonElement json = JsonSerializer.SerializeToElement(input, input.GetType(), Json);
            History.Add(new SagaStarted(Start, 1, json, "m-1", "c-1", TraceParent: null));
        }

        public SagaEngine Engine { get; }

        public SagaHistory History { get; } = new("order-7");

        public IReadOnlyList<string> Complete(string step, object? body = null) => Answer(step, ReplyStatus.Completed, reason: null, body);

        public IReadOnlyList<string> Answer(string name, ReplyStatus status, string? reason, object? body = null)
        {
            StepScheduled step = History.Steps.Single(candidate => candidate.Name == name);
            History.Add(new StepReplied(_now, step.Step, status, reason, Serializer.WriteBody(body)));
            return Advance();
        }

        public IReadOnlyList<string> Advance()
        {
            _now += TimeSpan.FromSeconds(1);
            var decision = Assert.IsType<SagaDecision.Append>(Engine.Advance(History, _now, "m-1"));
            foreach (HistoryEvent next in decision.Events)
            {
                History.Add(next);
            }

            return [.. decision.Events.Select(Name)];
        }

        private static string Name(HistoryEvent next) => next switch
        {
            StepScheduled step => step.Name,
            CompensationStarted => "compensation-started",
            SagaEnded => "ended",
            _ => next.GetType().Name,
        };
    }
}
