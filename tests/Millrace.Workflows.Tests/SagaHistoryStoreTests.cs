using System.Text.Json;

namespace Millrace.Workflows.Tests;

/// <summary>Histories as they are found after writes that failed in the middle.</summary>
public sealed class SagaHistoryStoreTests
{
    private static readonly DateTimeOffset s_start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly SagaSerializer s_serializer = new(_ => throw new NotSupportedException(), JsonSerializerOptions.Default);
    private static readonly SerializedCommand s_command = new("reserve", "commands", "7", JsonSerializer.SerializeToElement("body"));

    [Fact]
    public void The_end_of_an_append_whose_beginning_was_not_written_does_not_count()
    {
        SagaInstance instance = Fold((0, Started()), (1, Step(0)), (3, Step(1)))!;

        Assert.Equal(SagaState.Running, instance.State);
        Assert.Equal(2, instance.History!.NextSequence);
        Assert.Equal([0], instance.History.OpenSteps.Select(step => step.Step));
    }

    [Fact]
    public void An_instance_whose_start_was_not_written_has_not_begun() => Assert.Null(Fold((1, Step(0))));

    [Fact]
    public void A_gap_with_later_appends_behind_it_is_shown()
    {
        SagaInstance instance = Fold((0, Started()), (1, Step(0)), (3, Step(1)), (4, new StepReplied(s_start, 1, ReplyStatus.Completed, null, null)))!;

        Assert.Equal(SagaState.NeedsAttention, instance.State);
        Assert.Contains("event 2 is missing", instance.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void A_history_reads_the_same_whatever_the_applications_JSON_settings_were_when_it_was_written()
    {
        var writer = new SagaSerializer(_ => throw new NotSupportedException(), new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.KebabCaseUpper });

        var step = Assert.IsType<StepScheduled>(s_serializer.ReadEvent(writer.WriteEvent(Step(3))));

        Assert.Equal((3, "reserve", "m-1"), (step.Step, step.Command.Type, step.CausationId));
    }

    private static SagaStarted Started() => new(s_start, 1, JsonSerializer.SerializeToElement("input"), "m-1", "c-1", TraceParent: null);

    private static StepScheduled Step(int step) => new(s_start, step, $"step {step}", StepKind.Do, s_command, Undo: null, Undoes: null, "m-1");

    private static SagaInstance? Fold(params (int Sequence, HistoryEvent Event)[] events) =>
        new SagaHistoryStore(OrderSaga.Definition, s_serializer, services: null!).Fold(
            "order-7",
            new SortedDictionary<int, ReadOnlyMemory<byte>>(
                events.ToDictionary(item => item.Sequence, item => (ReadOnlyMemory<byte>)s_serializer.WriteEvent(item.Event))));
}
