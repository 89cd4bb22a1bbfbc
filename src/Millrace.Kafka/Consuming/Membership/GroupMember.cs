using System.Buffers.Text;
using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>What the member tells the consumer, one call at a time.</summary>
internal sealed record RebalanceCallbacks(
    Func<IReadOnlyCollection<TopicPartition>, CancellationToken, ValueTask> AssignedAsync,
    Func<IReadOnlyCollection<TopicPartition>, CancellationToken, ValueTask> RevokedAsync,
    Func<IReadOnlyCollection<TopicPartition>, ValueTask> LostAsync,
    Action<IReadOnlyCollection<TopicPartition>> Losing,
    Action<Func<bool>> InPlace,
    Action<Exception> Refused);

/// <summary>
/// The thin shell around a <see cref="Membership"/>: sends what it asks, calls the application, and falls back to the classic protocol where the
/// coordinator does not offer the other one. Runs in the background, whatever the application does.
/// </summary>
internal sealed class GroupMember : IDisposable
{
    private const int MemberIdByteCount = 16;

    private readonly ClientContext _context;
    private readonly ConsumerSettings _settings;
    private readonly MetadataCache _metadata;
    private readonly ConnectionPool _pool;
    private readonly CoordinatorLocator _locator;
    private readonly RebalanceCallbacks _callbacks;
    private readonly PollWatch _polls;
    private readonly ILogger _logger;
    private readonly WakeSignal _wake;
    private readonly CancellationTokenSource _over = new();
    private readonly Lock _gate = new();
    private readonly long _start;
    private Membership _membership;
    private ConsumerGroupMetadata? _former;
    private Func<ClusterView, IReadOnlyCollection<string>>? _select;
    private HashSet<string> _watched = [];
    private CancellationTokenSource? _noticeStop;

    // The latest choice, and of what it was made. The loop's own.
    private Func<ClusterView, IReadOnlyCollection<string>>? _lastSelect;
    private ClusterView? _lastView;
    private bool _isSelected;
    private bool _isStopping;

    public GroupMember(
        ClientContext context,
        ConsumerSettings settings,
        MetadataCache metadata,
        ConnectionPool pool,
        CoordinatorLocator locator,
        PollWatch polls,
        RebalanceCallbacks callbacks)
    {
        _context = context;
        _settings = settings;
        _metadata = metadata;
        _pool = pool;
        _locator = locator;
        _polls = polls;
        _callbacks = callbacks;
        _logger = context.Loggers.CreateLogger<GroupMember>();
        _wake = new WakeSignal(context.Time);
        _start = context.Time.GetTimestamp();
        _membership = settings.GroupProtocol == GroupProtocol.Consumer
            ? new ConsumerMembership(NewMemberId, settings, context.RetryBackoff, context.Settings.RequestTimeout, _logger)
            : NewClassic();
        metadata.Changed += _wake.Set;
    }

    /// <summary>The latest membership, and whether it is in force. Before the first join it is none.</summary>
    public (ConsumerGroupMetadata Metadata, bool IsInForce) Current
    {
        get
        {
            lock (_gate)
            {
                ConsumerGroupMetadata current = _membership.Current;
                return (current.GenerationId < 0 && _former is not null ? _former : current, _membership.IsInForce);
            }
        }
    }

    /// <summary>Whether the latest subscription is in place.</summary>
    public bool IsInPlace
    {
        get
        {
            lock (_gate)
            {
                return (_select is null || _isSelected) && _membership.IsInPlace;
            }
        }
    }

    private TimeSpan Now => _context.Time.GetElapsedTime(_start);

    /// <summary>Sets the topics; a member tells the group.</summary>
    public void Subscribe(IReadOnlyCollection<string> topics)
    {
        _metadata.Track(topics);
        lock (_gate)
        {
            _select = null;
            _watched = [.. topics];
            _membership.Subscribe(topics);
        }

        _wake.Set();
    }

    /// <summary>Sets a choice of topics, made anew whenever the picture of the cluster changes.</summary>
    public void Subscribe(Func<ClusterView, IReadOnlyCollection<string>> select)
    {
        lock (_gate)
        {
            _select = select;
            _isSelected = false;
            _watched = [];
        }

        _metadata.TrackAll();
        _metadata.RequestRefresh();
        _wake.Set();
    }

    /// <summary>The application polls again.</summary>
    public void Return()
    {
        lock (_gate)
        {
            _membership.Return();
        }

        _wake.Set();
    }

    /// <summary>
    /// Joins and lives until <paramref name="stop"/>, then lets go and leaves. A coordinator that refuses the member does not end it: the
    /// reason may go away without this member's doing, as when the others of a group leave that knew none of its assignors.
    /// </summary>
    /// <exception cref="KafkaInstanceFencedException">Another consumer has taken the place of this static member.</exception>
    public async Task RunAsync(CancellationToken stop)
    {
        await using CancellationTokenRegistration stopping = stop.UnsafeRegister(static member => ((GroupMember)member!).Stop(), this);
        try
        {
            while (true)
            {
                Select();
                var effects = new MembershipEffects();
                TimeSpan now = Now;
                bool hasEnded;
                lock (_gate)
                {
                    if (IsOver())
                    {
                        break;
                    }

                    Advance(now, effects);

                    // A static member ends without a question to anybody, so that no answer would wake the loop.
                    hasEnded = _membership.IsOver;
                }

                await CarryOutAsync(effects);
                if (!hasEnded)
                {
                    await _wake.WaitAsync(effects.WakeAt - now, CancellationToken.None);
                }
            }

            if (Fault() is { } fatal)
            {
                throw fatal;
            }
        }
        finally
        {
            await _over.CancelElsewhereAsync();
        }
    }

    public void Dispose()
    {
        _metadata.Changed -= _wake.Set;
        _wake.Dispose();
        _over.Dispose();
    }

    private static string NewMemberId() => Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(MemberIdByteCount));

    private ClassicMembership NewClassic() => new(_settings, _context.RetryBackoff, _context.Settings.RequestTimeout, _logger);

    private Exception? Fault()
    {
        lock (_gate)
        {
            return _membership.Fault;
        }
    }

    private void Stop()
    {
        lock (_gate)
        {
            _isStopping = true;
            _membership.Close();
        }

        _wake.Set();
    }

    /// <summary>Whether all is over; a membership that was not to be had gives way to one of the classic protocol.</summary>
    private bool IsOver()
    {
        if (!_membership.IsOver)
        {
            return false;
        }

        if (_membership.End != MembershipEnd.NotOffered)
        {
            return true;
        }

        IReadOnlyCollection<string>? topics = _membership.Topics;
        _former = _membership.Current;
        _membership = NewClassic();
        if (topics is not null)
        {
            _membership.Subscribe(topics);
        }

        if (_isStopping)
        {
            _membership.Close();
        }

        return false;
    }

    /// <summary>Chooses topics anew where the picture of the cluster is another one. Outside of the lock: a choice may take its time, and commits do not wait for it.</summary>
    private void Select()
    {
        // First: a picture that is older may not have all topics yet.
        bool hasAll = _metadata.HasAll;
        ClusterView view = _metadata.View;
        Func<ClusterView, IReadOnlyCollection<string>>? select = Volatile.Read(ref _select);
        if (select is null || !hasAll || (ReferenceEquals(select, _lastSelect) && ReferenceEquals(view, _lastView)))
        {
            return;
        }

        IReadOnlyCollection<string> topics = select(view);
        (_lastSelect, _lastView) = (select, view);
        lock (_gate)
        {
            // Unless the subscription has changed meanwhile.
            if (ReferenceEquals(select, _select))
            {
                _membership.Subscribe(topics);
                _isSelected = true;
            }
        }
    }

    private void Advance(TimeSpan now, MembershipEffects effects)
    {
        ClusterView view = _metadata.View;
        if (_polls.Look() is { } silence)
        {
            Diagnostics.PollTimeouts.Tell(1, new System.Diagnostics.TagList { { "messaging.consumer.group.name", _settings.GroupId } });
            LogMessages.PollIntervalExceeded(_logger, _settings.GroupId!, silence, _settings.MaxPollInterval, _membership.Owned.Count);
            if (_settings.PollTimeoutAction == PollTimeoutAction.LeaveGroup)
            {
                _membership.GoAway("the application has not polled for max.poll.interval.ms");
            }
        }

        _membership.Advance(view, now, effects);
        effects.IsInPlace = IsInPlace;
        if (_polls.DueIn() is { } due)
        {
            effects.WakeNoLaterThan(now + due);
        }
    }

    private async Task CarryOutAsync(MembershipEffects effects)
    {
        // Before the call that tells of it can begin, which takes them out for good: the other way round they would be held when they have come back.
        if (effects.Lost is { } lost)
        {
            _callbacks.Losing(lost);
        }

        if (effects.CancelsNotice && _noticeStop is { } noticeStop)
        {
            // Not awaited: a callback may go on inside the cancellation for as long as it likes, and heartbeats do not wait for it.
            _ = CancelAsync(noticeStop);
        }

        if (effects.Notice is { } notice)
        {
            _noticeStop = new CancellationTokenSource();
            if (effects.CancelsNotice)
            {
                await _noticeStop.CancelElsewhereAsync();
            }

            _ = NotifyAsync(notice, _noticeStop.Token);
        }

        // With a pattern the picture has all topics; to ask for one by its name could create it again after its deletion.
        if (Volatile.Read(ref _select) is null)
        {
            _metadata.Track(effects.TopicsToTrack);
            _metadata.TrackWithoutCreating(Watch(effects));
        }

        foreach (GroupCall call in effects.Calls)
        {
            _ = CallAsync(call);
        }

        if (effects.TopicsToFind is { } topics)
        {
            _ = FindTopicsAsync(topics);
        }

        if (effects.TopicIdsToFind is { } ids)
        {
            _ = FindTopicIdsAsync(ids);
        }

        if (effects.NeedsMetadata)
        {
            _metadata.RequestRefresh();
        }

        if (effects.Refusal is { } refusal)
        {
            _callbacks.Refused(refusal);
        }

        if (effects.IsInPlace)
        {
            _callbacks.InPlace(() => IsInPlace);
        }
    }

    /// <summary>The topics of the subscription, and those that the leader of a group looks after: used, even where this member reads nothing of them.</summary>
    private string[] Watch(MembershipEffects effects)
    {
        lock (_gate)
        {
            if (effects.TopicsToFind is { } all)
            {
                _watched = [.. all, .. _membership.Topics ?? []];
            }

            _watched.UnionWith(effects.TopicsToTrack);
            return [.. _watched];
        }
    }

    private async Task NotifyAsync(RebalanceCall notice, CancellationToken cancellationToken)
    {
        await _context.BeginAsync();
        switch (notice.Notice)
        {
            case RebalanceNotice.Assigned:
                await _callbacks.AssignedAsync(notice.Partitions, cancellationToken);
                _callbacks.InPlace(() => IsOfNow(notice));
                break;
            case RebalanceNotice.Revoked:
                await _callbacks.RevokedAsync(notice.Partitions, cancellationToken);
                break;
            default:
                await _callbacks.LostAsync(notice.Partitions);
                break;
        }

        lock (_gate)
        {
            _membership.NoticeEnded(Now);
        }

        _wake.Set();
    }

    /// <summary>Whether what has come belongs to the latest subscription, and not to one that has been changed since the group was told of it.</summary>
    private bool IsOfNow(RebalanceCall notice)
    {
        lock (_gate)
        {
            return (_select is null || _isSelected) && ReferenceEquals(notice.Topics, _membership.Topics);
        }
    }

    /// <summary>Tells a callback to end. What it has registered on its token is the application's: where that fails, the member goes on.</summary>
    private async Task CancelAsync(CancellationTokenSource noticeStop)
    {
        try
        {
            await noticeStop.CancelElsewhereAsync();
        }
        catch (AggregateException failure)
        {
            LogMessages.RebalanceCallbackFailed(_logger, _settings.GroupId!, failure);
        }
    }

    private async Task CallAsync(GroupCall call)
    {
        await _context.BeginAsync();
        BrokerAddress? coordinator = null;
        try
        {
            coordinator = await _locator.GetAsync(_over.Token);
            BrokerConnection connection = await _pool.GetAsync(coordinator.Value, call.Purpose, _over.Token);
            IMessage response = await call.SendAsync(connection, _over.Token);
            if (call.ErrorOf(response) is ErrorCode.NotCoordinator or ErrorCode.CoordinatorNotAvailable)
            {
                _locator.Forget(coordinator.Value);
            }

            Apply(membership => membership.Answered(call, response, coordinator.Value, Now));
        }
        catch (OperationCanceledException) when (_over.IsCancellationRequested)
        {
            // The member has ended meanwhile.
        }
        catch (Exception failure)
        {
            if (coordinator is { } address && failure is KafkaConnectionException or KafkaTimeoutException)
            {
                _locator.Forget(coordinator!.Value);
            }

            Apply(membership => membership.Failed(call, failure, Now));
        }
    }

    /// <summary>
    /// Whatever fails here is a defect. It ends the membership, not the member: who sends no heartbeats is no member for long, and would read on beside
    /// the next owner of its partitions.
    /// </summary>
    private void Apply(Action<Membership> apply)
    {
        try
        {
            lock (_gate)
            {
                apply(_membership);
            }
        }
        catch (Exception defect)
        {
            lock (_gate)
            {
                _membership.Lose(defect.Message, Now);
            }
        }

        _wake.Set();
    }

    /// <summary>A topic that the broker is just creating is worth a short wait; otherwise a rebalance follows at once.</summary>
    private async Task FindTopicsAsync(IReadOnlyCollection<string> topics)
    {
        const int maxAttempts = 5;
        Exception? failure = null;
        try
        {
            for (int attempt = 1; attempt <= maxAttempts; attempt++)
            {
                await _metadata.RefreshAsync(_over.Token);
                if (topics.All(topic => _metadata.FindTopic(topic) is not null))
                {
                    break;
                }

                await Task.Delay(_context.RetryBackoff.After(attempt), _context.Time, _over.Token);
            }
        }
        catch (Exception caught)
        {
            failure = caught;
        }

        Apply(membership => membership.TopicsFound(_metadata.View, failure, Now));
    }

    private async Task FindTopicIdsAsync(IReadOnlyCollection<Guid> ids)
    {
        try
        {
            await _metadata.FindByIdAsync(ids, _over.Token);
        }
        catch (Exception failure) when (failure is KafkaException or OperationCanceledException)
        {
            LogMessages.GroupStepRetried(_logger, _settings.GroupId!, "the look-up of topics by their ids", TimeSpan.Zero, failure.Message);
        }

        _wake.Set();
    }
}
