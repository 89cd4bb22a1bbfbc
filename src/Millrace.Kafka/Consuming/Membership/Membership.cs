using Microsoft.Extensions.Logging;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>How one attempt of a membership ended that is not to be followed by another of its kind.</summary>
internal enum MembershipEnd
{
    /// <summary>It goes on.</summary>
    None,

    /// <summary>It has left, or was not in.</summary>
    Left,

    /// <summary>Another consumer has taken its place; see <see cref="Membership.Fault"/>.</summary>
    Fenced,

    /// <summary>The coordinator does not offer the protocol; nothing was joined.</summary>
    NotOffered,
}

/// <summary>
/// A member's life in its group as a synchronous state machine, in what both of Kafka's group protocols have in common: what it wants, what it owns, what
/// the application has been told, and how it ends. Not thread-safe; time and the cluster are parameters.
/// </summary>
internal abstract class Membership(ConsumerSettings settings, Backoff retryBackoff, TimeSpan requestTimeout, ILogger logger)
{
    private readonly Queue<RebalanceCall> _notices = new();
    private RebalanceCall? _notice;
    private bool _cancelsNotice;
    private Exception? _refusal;
    private IReadOnlyCollection<TopicPartition>? _lost;

    /// <summary>
    /// What commits are fenced with: the membership of the latest join; generation -1 before the first. It stays when the membership is over, since the coordinator refuses who names
    /// it then, and refuses nobody who names none.
    /// </summary>
    public ConsumerGroupMetadata Current { get; private set; } = ConsumerGroupMetadata.None(settings);

    /// <summary>Whether <see cref="Current"/> holds, so that commits may be accepted.</summary>
    public bool IsInForce { get; private set; }

    /// <summary>Whether the member is in the group with the topics that it wants now, the application has heard of all that it got, and nothing else is under way.</summary>
    public abstract bool IsInPlace { get; }

    public MembershipEnd End { get; protected set; }

    /// <summary>It has ended, and the application knows.</summary>
    public bool IsOver => End != MembershipEnd.None && AreNoticesOver;

    /// <summary>Why it has ended as <see cref="MembershipEnd.Fenced"/>.</summary>
    public Exception? Fault { get; protected set; }

    /// <summary>What the member claims to own: from the assignment until the application has let go of it.</summary>
    public IReadOnlyCollection<TopicPartition> Owned => OwnedPartitions;

    protected ConsumerSettings Settings { get; } = settings;

    protected string GroupId { get; } = settings.GroupId!;

    /// <summary>The rack that the member tells the group; null where it has none.</summary>
    protected string? Rack { get; } = settings.ClientRack.Length > 0 ? settings.ClientRack : null;

    protected ILogger Logger { get; } = logger;

    protected Backoff RetryBackoff { get; } = retryBackoff;

    protected TimeSpan RequestTimeout { get; } = requestTimeout;

    /// <summary>The topics that the member wants; null before the first subscription.</summary>
    public IReadOnlyCollection<string>? Topics { get; private set; }

    protected HashSet<TopicPartition> OwnedPartitions { get; } = [];

    /// <summary>Of what it owns, what the application has been told of and not told to let go of.</summary>
    protected HashSet<TopicPartition> Told { get; } = [];

    protected bool IsClosing { get; private set; }

    /// <summary>The application is out of reach, so the member has left until it comes back.</summary>
    protected bool IsAway { get; private set; }

    protected int FailureCount { get; private set; }

    protected TimeSpan RetryAt { get; private set; }

    protected bool AreNoticesOver => _notice is null && _notices.Count == 0;

    /// <summary>Whether the application has partitions in hand that it is letting go of.</summary>
    protected bool IsLettingGo => _notice is { Notice: not RebalanceNotice.Assigned } || _notices.Any(static call => call.Notice != RebalanceNotice.Assigned);

    /// <summary>Of what it owns, what it has not begun to let go of.</summary>
    protected IEnumerable<TopicPartition> Kept => OwnedPartitions.Except(_notices.Append(_notice)
        .Where(static call => call is { Notice: RebalanceNotice.Revoked })
        .SelectMany(static call => call!.Partitions));

    /// <summary>Sets the topics; a member tells the group.</summary>
    public void Subscribe(IReadOnlyCollection<string> topics)
    {
        if (Topics is not null && Topics.ToHashSet().SetEquals(topics))
        {
            return;
        }

        bool isFirst = Topics is null;
        Topics = topics;
        if (!isFirst)
        {
            OnSubscriptionChanged();
        }
    }

    /// <summary>Lets go of everything, leaves and ends.</summary>
    public void Close()
    {
        if (IsClosing)
        {
            return;
        }

        IsClosing = true;
        _cancelsNotice |= _notice is { Notice: RebalanceNotice.Assigned };
    }

    /// <summary>Leaves until <see cref="Return"/>: the application does not take its records.</summary>
    public void GoAway(string reason)
    {
        if (!IsAway && !IsClosing)
        {
            IsAway = true;
            OnAway(reason);
        }
    }

    public void Return() => IsAway = false;

    /// <summary>The application has been told.</summary>
    public void NoticeEnded(TimeSpan now)
    {
        RebalanceCall ended = _notice!;
        _notice = null;
        if (ended.Notice == RebalanceNotice.Revoked)
        {
            OwnedPartitions.ExceptWith(ended.Partitions);
        }

        OnNoticeEnded(ended, now);
    }

    public abstract void Answered(GroupCall call, IMessage response, BrokerAddress address, TimeSpan now);

    public abstract void Failed(GroupCall call, Exception failure, TimeSpan now);

    /// <summary>The topics of <see cref="MembershipEffects.TopicsToFind"/> are as well known as they get; or no broker answered.</summary>
    public virtual void TopicsFound(ClusterView view, Exception? failure, TimeSpan now)
    {
    }

    /// <summary>The membership is over without a word of the coordinator's.</summary>
    public abstract void Lose(string reason, TimeSpan now);

    /// <summary>Does what can be done now, and says what is to be done outside.</summary>
    public void Advance(ClusterView view, TimeSpan now, MembershipEffects effects)
    {
        while (End == MembershipEnd.None && Step(view, now, effects))
        {
        }

        if (_notice is null && _notices.TryDequeue(out _notice))
        {
            if (_notice.Notice == RebalanceNotice.Assigned)
            {
                Told.UnionWith(_notice.Partitions);
            }
            else
            {
                Told.ExceptWith(_notice.Partitions);
            }

            effects.Notice = _notice;
            OnNoticeStarted(_notice, now);
            _cancelsNotice = IsClosing && _notice.Notice == RebalanceNotice.Assigned;
        }

        effects.Lost = _lost;
        _lost = null;
        effects.CancelsNotice = _cancelsNotice;
        _cancelsNotice = false;
        effects.Refusal = _refusal;
        _refusal = null;
        AddTimes(now, effects);
    }

    /// <summary>One transition that is due; false if there is none.</summary>
    protected abstract bool Step(ClusterView view, TimeSpan now, MembershipEffects effects);

    /// <summary>When the next transition is due without an event.</summary>
    protected abstract void AddTimes(TimeSpan now, MembershipEffects effects);

    protected abstract void OnSubscriptionChanged();

    protected abstract void OnAway(string reason);

    protected virtual void OnNoticeStarted(RebalanceCall call, TimeSpan now)
    {
    }

    protected virtual void OnNoticeEnded(RebalanceCall call, TimeSpan now)
    {
    }

    protected void Notify(RebalanceNotice notice, IReadOnlyCollection<TopicPartition> partitions, IReadOnlyCollection<string>? topics = null) =>
        _notices.Enqueue(new RebalanceCall(notice, partitions, topics));

    protected void CancelNotice() => _cancelsNotice |= _notice is not null;

    /// <summary>
    /// Everything is gone at once. Who was told of partitions and not yet told to let go of them hears that they are lost; what the application never
    /// heard of is dropped silently, and so is what it was still to be told.
    /// </summary>
    protected void LoseAll()
    {
        CancelNotice();
        _notices.Clear();
        OwnedPartitions.Clear();
        EndCurrent();
        if (Told.Count > 0)
        {
            _lost = [.. Told];
            Notify(RebalanceNotice.Lost, _lost);
        }
    }

    /// <summary>The application is asked to let go of everything that it was told of, and commits may still be accepted.</summary>
    protected void RevokeAll()
    {
        TopicPartition[] unheard = [.. _notices.Where(static call => call.Notice == RebalanceNotice.Assigned).SelectMany(static call => call.Partitions)];
        _notices.Clear();
        OwnedPartitions.ExceptWith(unheard);
        if (Told.Count > 0)
        {
            Notify(RebalanceNotice.Revoked, [.. Told]);
        }
    }

    protected void SetCurrent(int generation, string memberId)
    {
        Current = new ConsumerGroupMetadata(GroupId, generation, memberId, Settings.GroupInstanceId);
        IsInForce = true;
    }

    /// <summary>Commits are over until the next join.</summary>
    protected void EndCurrent() => IsInForce = false;

    protected void Refuse(Exception failure) => _refusal = failure;

    protected void Retry(string step, Exception failure, TimeSpan now)
    {
        TimeSpan pause = RetryBackoff.After(++FailureCount);
        RetryAt = now + pause;
        LogMessages.GroupStepRetried(Logger, GroupId, step, pause, failure.Message);
    }

    protected void Succeed() => FailureCount = 0;
}
