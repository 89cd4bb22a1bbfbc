using Microsoft.Extensions.Logging;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>
/// Reads records, as a member of a group (<see cref="SubscribeAsync(IReadOnlyCollection{string}, IRebalanceListener?, CancellationToken)"/>) or from
/// partitions of the caller's choice (<see cref="Assign"/>).
/// Heartbeats, rebalances and fetching run in the background, whatever the application does. Members may be called from any thread;
/// poll from one place at a time. Nothing is committed by itself.
/// </summary>
public sealed partial class KafkaConsumer : IAsyncDisposable
{
    private readonly ClientContext _context;
    private readonly ConsumerSettings _settings;
    private readonly MetadataCache _metadata;
    private readonly ILogger _logger;
    private readonly ConnectionPool _pool;
    private readonly OffsetStore? _offsets;
    private readonly CoordinatorLocator? _locator;
    private readonly ConsumerState _state;
    private readonly PollWatch _polls;
    private readonly ConsumerFetcher _fetcher;
    private readonly OffsetQuery _queries;
    private readonly Lock _gate = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationTokenSource _stopMember = new();
    private readonly Action<IAsyncDisposable> _closed;
    private readonly Task _fetchLoop;
    private readonly RecordRunPool _runs = new();
    private TaskCompletionSource? _arrived;
    private Exception? _failure;
    private Task? _closing;

    internal KafkaConsumer(ClientContext context, ConsumerSettings settings, MetadataCache metadata, Action<IAsyncDisposable> closed)
    {
        _closed = closed;
        _context = context;
        _settings = settings;
        _metadata = metadata;
        _logger = context.Loggers.CreateLogger<KafkaConsumer>();
        _pool = new ConnectionPool(context);
        if (settings.GroupId is { } groupId)
        {
            _locator = new CoordinatorLocator(context, _pool, metadata, groupId, CoordinatorKind.Group);
            _offsets = new OffsetStore(
                context, _pool, _locator, groupId, () => _member?.Current is (var member, true) && settings.GroupProtocol == GroupProtocol.Consumer ? member : ConsumerGroupMetadata.None(settings));
        }

        _polls = new PollWatch(settings.MaxPollInterval, context.Time);
        _state = new ConsumerState(settings, context.RetryBackoff, context.Settings.MetadataMaxAge);
        _fetcher = new ConsumerFetcher(context, settings, metadata, _pool, _offsets, _state, _gate, Pulse);
        _queries = new OffsetQuery(context, _pool, metadata, settings.IsolationLevel);
        metadata.Changed += WarnOfMissing;
        _fetchLoop = RunFetcherAsync();
    }

    /// <summary>The partitions that are this consumer's now.</summary>
    public IReadOnlyCollection<TopicPartition> Assignment
    {
        get
        {
            lock (_gate)
            {
                return _state.Assignment;
            }
        }
    }

    /// <summary>
    /// Calls <see cref="IRebalanceListener.OnRevokedAsync"/>, leaves the group so that others get the partitions at once, and closes. All
    /// that takes at most <see cref="ConsumerOptions.CloseTimeout"/>.
    /// </summary>
    public ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            _closing ??= CloseAsync();
            return new ValueTask(_closing);
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private void ThrowIfUnusable()
    {
        ObjectDisposedException.ThrowIf(_stop.IsCancellationRequested, this);
        if (_failure is not null)
        {
            throw _failure;
        }
    }

    /// <summary>Wakes whoever polls.</summary>
    private void Pulse()
    {
        TaskCompletionSource? arrived;
        lock (_gate)
        {
            arrived = _arrived;
            _arrived = null;
        }

        arrived?.TrySetResult();
    }

    /// <summary>What went wrong in the background, and is told once.</summary>
    private Exception? TakeFailure()
    {
        if (_callbackFailure is { } callbackFailure)
        {
            _callbackFailure = null;
            return callbackFailure;
        }

        Exception? refusal = _refusal;
        _refusal = null;
        return refusal;
    }

    /// <summary>A defect ended a loop: every call from now on fails.</summary>
    private void Fail(Exception failure)
    {
        lock (_gate)
        {
            _failure ??= failure;
        }

        EndWaitForAssignment(failure);
        Pulse();
    }

    private async Task CloseAsync()
    {
        // Leaves the lock.
        await _context.BeginAsync();
        await _stopMember.CancelElsewhereAsync();
        await _memberLoop.WaitAsync(_settings.CloseTimeout, _context.Time).ConfigureAwait(Awaiting.Quietly);

        // What a callback has registered on its token may fail: that is no reason to leave anything open.
        await _stop.CancelElsewhereAsync().ConfigureAwait(Awaiting.Quietly);
        await _fetchLoop;
        _metadata.Changed -= WarnOfMissing;
        await _pool.DisposeAsync();
        _fetcher.Dispose();
        if (_memberLoop.IsCompleted)
        {
            _member?.Dispose();
        }

        lock (_gate)
        {
            _state.Assign([], isHeld: false);
        }

        EndWaitForAssignment(new KafkaClosedException("The consumer was closed before it got its first assignment."));
        Pulse();
        _closed(this);
    }
}
