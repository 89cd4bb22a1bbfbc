using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Millrace.Kafka;
using Millrace.Kafka.Records;

namespace Millrace;

/// <summary>
/// Runs the instances of one saga whose partitions this process owns. The engine decides; this shell writes, in the order that keeps an
/// instance whole through a crash between any two writes: the reply and the steps that follow from it into the history, then the
/// commands, and last the inbox offset.
/// </summary>
/// <remarks>
/// A crash before the history has the step: the reply comes again, and the code decides the same again. After it, and before the command
/// was sent: the next owner finds the step without a reply and sends it. After the command: it is sent again with the same id, and its
/// receiver answers with the reply that it stored.
/// </remarks>
internal sealed class SagaProcessor : PartitionProcessor
{
    private const int MaxConcurrentResumes = 64;

    /// <summary>Partitions that are taken over at one time, each with connections of its own to the brokers.</summary>
    private const int MaxConcurrentTakeovers = 8;

    private readonly SagaDefinition _saga;
    private readonly ProcessorServices _services;
    private readonly SagaEngine _engine;
    private readonly SagaHistoryStore _store;
    private readonly ILogger _logger;
    private readonly ConcurrentDictionary<int, SagaPartition> _partitions = new();
    private readonly SagaWaiters _waiters = new();
    private readonly SemaphoreSlim _takeovers = new(MaxConcurrentTakeovers);

    public SagaProcessor(SagaDefinition definition, ProcessorServices services)
    {
        SagaDefinition saga = definition with { TopicPrefix = services.TopicPrefix };
        _saga = saga;
        _services = services;
        var serializer = new SagaSerializer(Prepare, services.Json);
        _engine = new SagaEngine(saga, serializer);
        _store = new SagaHistoryStore(saga, serializer, services);
        _logger = services.Loggers.CreateLogger("Millrace.Workflows");
    }

    public SagaStatus? Find(string instanceId) =>
        _partitions.Values.Select(partition => partition.Find(instanceId)?.ToStatus()).FirstOrDefault(status => status is not null);

    public Task<SagaStatus> WaitAsync(string instanceId, CancellationToken cancellationToken) =>
        _waiters.WaitAsync(instanceId, () => Find(instanceId), cancellationToken);

    public Task StartAsync(string instanceId, object input, string? traceParent, CancellationToken cancellationToken)
    {
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(input, _saga.InputType, _services.Json);
        OutgoingMessage start = SagaMessages.Start(_saga, instanceId, json, _services.Time.GetUtcNow(), traceParent);
        return _services.Writer.WriteAsync([start], cancellationToken);
    }

    public override async ValueTask OnAssignedAsync(AssignedPartition assigned, CancellationToken cancellationToken)
    {
        SagaPartition restored = await TakeOverAsync(assigned, cancellationToken);
        _partitions[restored.Partition] = restored;
        if (restored.LateRecordCount > 0)
        {
            LogMessages.LateRecords(_logger, _saga.Name, restored.LateRecordCount, new TopicPartition(_saga.HistoryTopic, restored.Partition));
        }

        foreach (SagaInstance instance in restored.Instances)
        {
            if (instance.State == SagaState.NeedsAttention)
            {
                LogMessages.NeedsAttention(_logger, _saga.Name, instance.InstanceId, instance.Reason);
            }

            Show(restored, instance);
        }

        SagaInstance[] open = [.. restored.Open];
        var parallel = new ParallelOptions { MaxDegreeOfParallelism = MaxConcurrentResumes, CancellationToken = cancellationToken };
        await Parallel.ForEachAsync(open, parallel, async (instance, token) =>
            await ContinueAsync(restored, instance.History!, happened: null, LastCause(instance.History!), token));
        if (open.Length > 0)
        {
            LogMessages.Resumed(_logger, _saga.Name, open.Length, assigned.TopicPartition);
        }
    }

    private async Task<SagaPartition> TakeOverAsync(AssignedPartition assigned, CancellationToken cancellationToken)
    {
        await _takeovers.WaitAsync(cancellationToken);
        try
        {
            return await _store.TakeOverAsync(assigned, cancellationToken);
        }
        finally
        {
            _takeovers.Release();
        }
    }

    public override void OnReleased(TopicPartition partition) => _partitions.TryRemove(partition.Partition, out _);

    public override Task ProcessAsync(ConsumerRecord record, CancellationToken ownership)
    {
        Envelope envelope = Envelope.Read(record);
        if (!_partitions.TryGetValue(record.TopicPartition.Partition, out SagaPartition? instances))
        {
            // It left between the dispatch and here; the next owner handles the record.
            throw new OperationCanceledException(ownership);
        }

        // After the look: were these the instances of a later assignment, the token of this one would be cancelled by now.
        ownership.ThrowIfCancellationRequested();

        if (record.Key is not { } key)
        {
            return Ignore(record, envelope, "it has no key");
        }

        string instanceId = Encoding.UTF8.GetString(key.Span);
        return envelope.Type switch
        {
            SagaMessages.StartType => BeginAsync(instances, instanceId, record, envelope, ownership),
            ReplyHeaders.ReplyType => TakeReplyAsync(instances, instanceId, record, envelope, ownership),
            _ => Ignore(record, envelope, $"its type {envelope.Type ?? "(none)"} is neither {SagaMessages.StartType} nor {ReplyHeaders.ReplyType}"),
        };
    }

    private static string LastCause(SagaHistory history) =>
        history.Steps.Count > 0 ? history.Steps[^1].CausationId : history.Started!.MessageId;

    private Task BeginAsync(SagaPartition instances, string instanceId, ConsumerRecord record, Envelope envelope, CancellationToken ownership)
    {
        if (instances.Find(instanceId) is { } known)
        {
            // Started before. What a crash left unsent goes out now; nothing else changes.
            return known.History is null
                ? Task.CompletedTask
                : ContinueAsync(instances, known.History, happened: null, envelope.MessageId, ownership);
        }

        if (ReadJson(record.Value) is not { } input)
        {
            return Ignore(record, envelope, "its body is not JSON");
        }

        var started = new SagaStarted(
            _services.Time.GetUtcNow(), _saga.Version, input, envelope.MessageId, envelope.CorrelationId, envelope.TraceParent);
        return ContinueAsync(instances, new SagaHistory(instanceId), started, envelope.MessageId, ownership);
    }

    private Task TakeReplyAsync(SagaPartition instances, string instanceId, ConsumerRecord record, Envelope envelope, CancellationToken ownership)
    {
        if (instances.Find(instanceId) is not { } instance)
        {
            return Ignore(record, envelope, $"no instance '{instanceId}' was started");
        }

        if (instance.History is not { } history)
        {
            // A repeated answer to an instance that has ended.
            return Task.CompletedTask;
        }

        if (SagaMessages.StepOf(_saga, instanceId, envelope.CausationId) is not { } step || step >= history.Steps.Count)
        {
            return Ignore(record, envelope, $"it answers '{envelope.CausationId}', which is no step of the instance");
        }

        string? statusText = Header(record, ReplyHeaders.Status);
        if (!ReplyHeaders.TryParse(statusText, out ReplyStatus status))
        {
            return Ignore(record, envelope, $"its status is '{statusText}'");
        }

        StepReplied? reply = history.ReplyTo(step) is null
            ? new StepReplied(_services.Time.GetUtcNow(), step, status, Header(record, ReplyHeaders.Reason), ReadJson(record.Value))
            : null;
        return ContinueAsync(instances, history, reply, envelope.MessageId, ownership);
    }

    /// <summary>
    /// Takes in what happened, decides what follows, and writes both: history first, then commands. The instance that others see is
    /// replaced only when the history is on the disk, so a write that fails leaves it as it was, and the record is handled again. Where
    /// nothing new has happened, whatever has no reply yet is sent again.
    /// </summary>
    private async Task ContinueAsync(
        SagaPartition instances, SagaHistory history, HistoryEvent? happened, string cause, CancellationToken cancellationToken)
    {
        SagaHistory draft = history.Copy();
        List<HistoryEvent> events = happened is null ? [] : [happened];
        events.ForEach(draft.Add);
        SagaDecision decision = _engine.Advance(draft, _services.Time.GetUtcNow(), cause);
        if (decision is SagaDecision.Append append)
        {
            foreach (HistoryEvent next in append.Events)
            {
                draft.Add(next);
                events.Add(next);
            }
        }

        await _store.AppendAsync(instances, history, events, cancellationToken);
        if (decision is SagaDecision.Refuse refuse)
        {
            Show(instances, SagaInstance.Refused(draft, refuse.Difference));
            LogMessages.NeedsAttention(_logger, _saga.Name, draft.InstanceId, refuse.Difference);
            return;
        }

        Show(instances, SagaInstance.Of(draft));
        Report(draft, events);
        IEnumerable<StepScheduled> toSend = happened is null ? draft.OpenSteps : events.OfType<StepScheduled>();
        await _services.Writer.WriteAsync([.. toSend.Select(step => SagaMessages.Command(_saga, draft, step))], cancellationToken);
    }

    private void Show(SagaPartition instances, SagaInstance instance)
    {
        instances.Set(instance);
        if (instance.HasEnded)
        {
            _waiters.Complete(instance.ToStatus());
        }
    }

    private void Report(SagaHistory history, List<HistoryEvent> events)
    {
        foreach (HistoryEvent next in events)
        {
            switch (next)
            {
                case CompensationStarted compensation:
                    LogMessages.Compensating(_logger, _saga.Name, history.InstanceId, compensation.Reason);
                    break;
                case SagaEnded { State: SagaState.NeedsAttention } ended:
                    LogMessages.NeedsAttention(_logger, _saga.Name, history.InstanceId, ended.Reason);
                    break;
                case SagaEnded ended:
                    LogMessages.Ended(_logger, _saga.Name, history.InstanceId, ended.State);
                    break;
            }
        }
    }

    private Task Ignore(ConsumerRecord record, Envelope envelope, string why)
    {
        LogMessages.Ignored(_logger, _saga.Name, envelope.MessageId, record.TopicPartition, record.Offset.Value, why);
        return Task.CompletedTask;
    }

    private SerializedCommand Prepare(object command)
    {
        OutgoingMessage message = _services.Writer.PrepareCommand(command, MessageOptions.None);
        return new SerializedCommand(message.Envelope.Type!, message.Topic, message.Key, ReadJson(message.Body)!.Value);
    }

    private static string? Header(ConsumerRecord record, string name) =>
        record.Headers.LastOrDefault(header => header.Key == name).Value is { } value ? Encoding.UTF8.GetString(value.Span) : null;

    /// <summary>A body as JSON; null where there is none, or something else.</summary>
    private static JsonElement? ReadJson(ReadOnlyMemory<byte>? value)
    {
        if (value is not { Length: > 0 } bytes)
        {
            return null;
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(bytes);
            return document.RootElement.ValueKind == JsonValueKind.Null ? null : document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
