using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>What follows from the answer's error, which is not that of a partition.</summary>
internal enum FetchSessionVerdict
{
    Good,

    /// <summary>The broker has no such session, or another one: the next fetch begins a new one, at once.</summary>
    Begun,

    /// <summary>As <see cref="Begun"/>, because of topic ids that the broker does not know: metadata is asked for first.</summary>
    TopicsChanged,

    Failed,
}

/// <summary>
/// The client's side of a fetch session (KIP-227): after a first full fetch, a request says only which partitions are new, have moved or are no longer wanted. Names topics by their ids
/// from version 13 on (KIP-516).
/// </summary>
/// <remarks>
/// <code>
/// full         (id 0, epoch 0)   all partitions    answered with the id of a session, or 0 where the broker has no room for one
/// incremental  (id, epoch n)     what changed      n rises with each answer; partitions without news are left out of it
/// after an error                 (id, epoch 0) ends the old session and begins a new one
/// without      (id 0, epoch -1)  all partitions
/// </code>
/// </remarks>
/// <param name="hasSession">Whether a session is wanted.</param>
/// <param name="partitionMaxByteCount">The most bytes of one partition in one answer.</param>
internal sealed class FetchSession(bool hasSession, int partitionMaxByteCount)
{
    private const short FirstSessionVersion = 7;
    private const short FirstTopicIdVersion = 13;
    private const int NoSession = 0;
    private const int FullEpoch = 0;
    private const int NoEpoch = -1;

    private readonly Dictionary<TopicPartition, Known> _known = [];
    private readonly Dictionary<Guid, string> _topics = [];
    private int _id;
    private int _epoch;
    private long _round;
    private bool _wasById;
    private bool _isFull = true;
    private short _version;

    /// <summary>The version that the last request was built for.</summary>
    public short Version => _version;

    /// <summary>Whether the last request named all partitions.</summary>
    public bool IsFull => _isFull;

    private bool IsById => _version >= FirstTopicIdVersion;

    /// <summary>Says in a request which partitions are wanted.</summary>
    /// <param name="request">The request, whose topics are set.</param>
    /// <param name="targets">All partitions that are wanted.</param>
    /// <param name="version">The newest version that both sides have. Less is used where a topic has no id.</param>
    public void Write(FetchRequest request, List<FetchTarget> targets, short version)
    {
        _version = version >= FirstTopicIdVersion && targets.Exists(static target => target.TopicId == Guid.Empty)
            ? (short)(FirstTopicIdVersion - 1)
            : version;
        if (IsById != _wasById)
        {
            // A session speaks of topics in one of the two ways.
            _epoch = FullEpoch;
            _wasById = IsById;
        }

        bool isWanted = hasSession && _version >= FirstSessionVersion;
        _isFull = !isWanted || _epoch == FullEpoch;
        request.SessionId = isWanted ? _id : NoSession;
        request.SessionEpoch = isWanted ? _epoch : NoEpoch;
        if (_isFull)
        {
            _known.Clear();
            _topics.Clear();
        }

        _round++;
        foreach (FetchTarget target in targets)
        {
            Add(request, target);
        }

        if (_known.Count > targets.Count)
        {
            Forget(request);
        }
    }

    /// <summary>The topic of an answer, or null where it was not asked for.</summary>
    public string? NameOf(FetchTopicResponse topic) => IsById ? _topics.GetValueOrDefault(topic.TopicId) : topic.Name;

    /// <summary>Judges an answer.</summary>
    public FetchSessionVerdict Accept(FetchResponse response)
    {
        if (response.ErrorCode == ErrorCode.None)
        {
            if (!hasSession || _version < FirstSessionVersion)
            {
                return FetchSessionVerdict.Good;
            }

            // Id 0: the broker keeps no session, or has just ended it; its next fetch is a full one again.
            _id = response.SessionId;
            _epoch = _id == NoSession ? FullEpoch : (_epoch == int.MaxValue ? 1 : _epoch + 1);
            return FetchSessionVerdict.Good;
        }

        if (response.ErrorCode == ErrorCode.FetchSessionIdNotFound)
        {
            _id = NoSession;
        }

        Reset();
        return response.ErrorCode switch
        {
            ErrorCode.FetchSessionIdNotFound or ErrorCode.InvalidFetchSessionEpoch => FetchSessionVerdict.Begun,
            ErrorCode.FetchSessionTopicIdError or ErrorCode.UnknownTopicId or ErrorCode.InconsistentTopicId => FetchSessionVerdict.TopicsChanged,
            _ => FetchSessionVerdict.Failed,
        };
    }

    /// <summary>What the broker knows is not known any more: the next fetch ends the session, if it still lives, and begins one.</summary>
    public void Reset() => _epoch = FullEpoch;

    private void Add(FetchRequest request, in FetchTarget target)
    {
        var wanted = new Known(target.TopicId, target.Offset, target.FetchedEpoch, target.LeaderEpoch, _round);
        bool isNews = !_known.TryGetValue(target.Partition, out Known known) || (known with { Round = _round }) != wanted;
        if (known.TopicId != wanted.TopicId && known.Round > 0 && IsById)
        {
            // A topic of the same name, but another one.
            ForgetOne(request, target.Partition, known.TopicId);
        }

        _known[target.Partition] = wanted;
        if (!isNews)
        {
            return;
        }

        _topics[target.TopicId] = target.Partition.Topic;
        FetchTopic? topic = request.Topics.Count > 0 && request.Topics[^1].Name == target.Partition.Topic ? request.Topics[^1] : null;
        if (topic is null && request.Topics.Count > 1)
        {
            string name = target.Partition.Topic;
            topic = request.Topics.Find(candidate => candidate.Name == name);
        }

        if (topic is null)
        {
            request.Topics.Add(topic = new FetchTopic { Name = target.Partition.Topic, TopicId = target.TopicId });
        }

        topic.Partitions.Add(new FetchPartition
        {
            Index = target.Partition.Partition,
            CurrentLeaderEpoch = target.LeaderEpoch,
            FetchOffset = target.Offset.Value,
            LastFetchedEpoch = target.FetchedEpoch,
            MaxBytes = partitionMaxByteCount,
        });
    }

    private void Forget(FetchRequest request)
    {
        foreach ((TopicPartition partition, Known known) in _known)
        {
            if (known.Round != _round)
            {
                ForgetOne(request, partition, known.TopicId);
                _known.Remove(partition);
            }
        }
    }

    private static void ForgetOne(FetchRequest request, TopicPartition partition, Guid topicId)
    {
        ForgottenTopic? topic = request.ForgottenTopics.Find(candidate => candidate.Name == partition.Topic && candidate.TopicId == topicId);
        if (topic is null)
        {
            request.ForgottenTopics.Add(topic = new ForgottenTopic { Name = partition.Topic, TopicId = topicId });
        }

        topic.Partitions.Add(partition.Partition);
    }

    /// <summary>What the broker was last told of a partition.</summary>
    private readonly record struct Known(Guid TopicId, Offset Offset, int FetchedEpoch, int LeaderEpoch, long Round);
}
