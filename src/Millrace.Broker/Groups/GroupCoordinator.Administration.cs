using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker;

// What operators do with groups, and what happens to groups that nobody uses.
internal sealed partial class GroupCoordinator
{
    /// <summary>
    /// A commit that was on its way to the disk when its group was deleted is seen when it is there, and then goes as well. Each round sees what
    /// the one before was too early for; a client that goes on committing is not what is deleted.
    /// </summary>
    private const int MaxDeletionRounds = 3;

    /// <summary>Every group that has members, a generation, or committed offsets, in no order.</summary>
    public List<KeyValuePair<string, GroupDescription>> List()
    {
        List<KeyValuePair<string, GroupDescription>> groups = [];
        foreach (string groupId in KnownGroups())
        {
            if (Describe(groupId) is { } description)
            {
                groups.Add(new(groupId, description));
            }
        }

        return groups;
    }

    /// <summary>Null for a group that does not exist, or that is not available.</summary>
    public GroupDescription? Describe(string groupId)
    {
        GroupDescription? description = null;
        if (!TryUse(groupId, (_, group, _, _) => description = group.Describe()) && IsAbsent(groupId) && EveryOffset(groupId).Count > 0)
        {
            description = GroupDescription.OffsetsOnly;
        }

        return description;
    }

    /// <summary>Deletes a group that nobody is in, and all that it has committed; completes when this is on the disk.</summary>
    public async Task<ErrorCode> DeleteAsync(string groupId)
    {
        if (IsUnavailable(groupId))
        {
            return ErrorCode.CoordinatorNotAvailable;
        }

        ErrorCode error = ErrorCode.GroupIdNotFound;
        for (int round = 0; round < MaxDeletionRounds && error is ErrorCode.None or ErrorCode.GroupIdNotFound; round++)
        {
            Task<ErrorCode>? deleted = BeginDeletion(groupId);
            if (deleted is null)
            {
                break;
            }

            error = await deleted;
        }

        if (error == ErrorCode.None)
        {
            LogMessages.GroupDeleted(_logger, groupId);
        }

        return error;
    }

    /// <summary>Deletes what a group has committed for some partitions, where no member reads them.</summary>
    public async Task<OffsetDeletion> DeleteOffsetsAsync(string groupId, IReadOnlyList<TopicPartition> partitions)
    {
        if (IsUnavailable(groupId))
        {
            return new OffsetDeletion(ErrorCode.CoordinatorNotAvailable, []);
        }

        ErrorCode[] answers = new ErrorCode[partitions.Count];
        Task<ErrorCode>? written = null;
        bool isSeated = TryUse(groupId, (_, group, _, _) =>
        {
            if (!group.AllowsDeletionOfOffsets)
            {
                written = Task.FromResult(ErrorCode.NonEmptyGroup);
                return;
            }

            // Once for all: each look reads what every member has said of itself.
            Dictionary<string, bool> isRead = new(StringComparer.Ordinal);
            foreach (string topic in partitions.Select(partition => partition.Topic).Distinct(StringComparer.Ordinal))
            {
                isRead[topic] = group.IsSubscribedTo(topic);
            }

            for (int index = 0; index < answers.Length; index++)
            {
                answers[index] = isRead[partitions[index].Topic] ? ErrorCode.GroupSubscribedToTopic : ErrorCode.None;
            }

            written = AppendTombstonesAsync(groupId, Committed(groupId, partitions.Where((_, index) => answers[index] == ErrorCode.None)), alsoGroup: false);
        });
        if (!isSeated)
        {
            written = !IsAbsent(groupId) ? Task.FromResult(ErrorCode.CoordinatorNotAvailable)
                : EveryOffset(groupId).Count > 0
                ? AppendTombstonesAsync(groupId, Committed(groupId, partitions), alsoGroup: false)
                : Task.FromResult(ErrorCode.GroupIdNotFound);
        }

        ErrorCode error = await written!;
        return new OffsetDeletion(error, error == ErrorCode.None ? answers : []);
    }

    /// <summary>
    /// Deletes what every group has committed for a topic that is gone; completes when this is on the disk. False if some of it could not be deleted. What groups that
    /// cannot be served have committed stays, and is told to nobody: it is of another topic than one of this name that is made later (<see cref="CommitOrigin"/>).
    /// </summary>
    public async Task<bool> ForgetTopicAsync(string topic)
    {
        List<Task<ErrorCode>> writes = [];
        foreach (string groupId in KnownGroups().Where(_offsetsTopic.Serves).ToArray())
        {
            List<TopicPartition> gone = EveryOffset(groupId).FindAll(partition => partition.Topic == topic);
            writes.Add(AppendTombstonesAsync(groupId, gone, alsoGroup: false));
        }

        bool areAllWritten = true;
        foreach (Task<ErrorCode> write in writes)
        {
            areAllWritten &= await write == ErrorCode.None;
        }

        return areAllWritten;
    }

    /// <summary>Deletes what is kept longer than <c>offsets.retention.minutes</c> for nobody, and empty groups that have nothing.</summary>
    private void ExpireOffsets()
    {
        foreach (string groupId in KnownGroups())
        {
            try
            {
                if (!TryUse(groupId, Expire) && IsAbsent(groupId))
                {
                    ExpireWithoutGroup(groupId);
                }
            }
            catch (Exception bug)
            {
                // Thrown on a thread of the pool, it would end the process. The other groups have their own fate.
                LogMessages.CoordinatorFailed(_logger, bug, $"the expiry of what group {groupId} has committed");
            }
        }
    }

    private void ExpireWithoutGroup(string groupId)
    {
        lock (OnTheirWay.Gate)
        {
            _ = AppendTombstonesAsync(groupId, Expired(groupId, static committed => committed.CommitTimestamp, isRead: null), alsoGroup: false);
        }
    }

    private void Expire(Seat seat, ClassicGroup group, TimeSpan now, List<GroupEffect> effects)
    {
        // A commit that begins now waits, and stands behind the tombstones.
        lock (OnTheirWay.Gate)
        {
            ExpireUnderGate(seat, group, effects);
        }
    }

    private void ExpireUnderGate(Seat seat, ClassicGroup group, List<GroupEffect> effects)
    {
        List<TopicPartition> expired = [];
        switch (group.State)
        {
            case GroupState.Empty when group.ProtocolType.Length > 0:
                // The time runs from when the last member left, not from the last commit: a topic may be quiet for longer than it takes to expire.
                expired = Expired(
                    group.GroupId,
                    committed => seat.EmptySince == GroupSnapshot.UnknownTimestamp ? committed.CommitTimestamp : seat.EmptySince,
                    isRead: null);
                break;
            case GroupState.Empty:
                expired = Expired(group.GroupId, static committed => committed.CommitTimestamp, isRead: null);
                break;
            case GroupState.Stable when group.SubscribedTopics() is { } topics:
                expired = Expired(group.GroupId, static committed => committed.CommitTimestamp, topics.Contains);
                break;
        }

        bool hasNothingLeft = expired.Count == EveryOffset(group.GroupId).Count && OnTheirWay.Of(group.GroupId).Count == 0;
        bool goes = hasNothingLeft && group.State == GroupState.Empty && group.PendingMemberCount == 0;
        if (goes)
        {
            _ = Delete(seat, group, expired, effects);
        }
        else
        {
            _ = AppendTombstonesAsync(group.GroupId, expired, alsoGroup: false);
        }
    }

    /// <summary>
    /// What has expired, but for what is committed anew at this moment, whether the disk or a transaction has the last word on it: the client is told that it is committed, and a tombstone behind it
    /// would delete it. The gate of what is on its way is held until the tombstones are in the log.
    /// </summary>
    private List<TopicPartition> Expired(string groupId, Func<CommittedOffset, long> since, Func<string, bool>? isRead)
    {
        // Before what is committed: a transaction that ends between the two looks is found there.
        HashSet<TopicPartition> renewed = [.. Pending.All.Where(pending => pending.GroupId == groupId).Select(static pending => pending.Partition), .. OnTheirWay.Of(groupId)];
        long now = UtcNow();
        List<TopicPartition> expired = [];
        foreach ((TopicPartition partition, CommittedOffset committed) in Offsets.All(groupId))
        {
            bool isOver = committed.ExpireTimestamp == CommittedOffset.NoExpiry
                ? now - since(committed) >= _settings.OffsetsRetention.TotalMilliseconds
                : now >= committed.ExpireTimestamp;
            if (isOver && isRead?.Invoke(partition.Topic) != true && !renewed.Contains(partition))
            {
                expired.Add(partition);
            }
        }

        if (expired.Count > 0)
        {
            LogMessages.OffsetsExpired(_logger, groupId, expired.Count);
        }

        return expired;
    }

    /// <summary>Null where there is nothing to delete.</summary>
    private Task<ErrorCode>? BeginDeletion(string groupId)
    {
        Task<ErrorCode>? deleted = null;
        bool isSeated = TryUse(groupId, (seat, group, _, effects) => deleted = group.State == GroupState.Empty
            ? Delete(seat, group, EveryOffset(groupId), effects)
            : Task.FromResult(ErrorCode.NonEmptyGroup));
        if (!isSeated && !IsAbsent(groupId))
        {
            deleted = Task.FromResult(ErrorCode.CoordinatorNotAvailable);
        }
        else if (!isSeated && EveryOffset(groupId) is { Count: > 0 } offsets)
        {
            deleted = AppendTombstonesAsync(groupId, offsets, alsoGroup: false);
        }

        return deleted;
    }

    /// <summary>
    /// The group ends when its tombstones stand in the log, under its lock: whoever joins now founds another one, whose records stand behind them.
    /// </summary>
    private Task<ErrorCode> Delete(Seat seat, ClassicGroup group, List<TopicPartition> offsets, List<GroupEffect> effects)
    {
        Task<ErrorCode> written = AppendTombstonesAsync(group.GroupId, offsets, alsoGroup: group.Generation > 0);
        if (!written.IsCompleted || written.Result == ErrorCode.None)
        {
            group.Kill(effects);
            _seats.TryRemove(KeyValuePair.Create(group.GroupId, seat));
        }

        return written;
    }

    private Task<ErrorCode> AppendTombstonesAsync(string groupId, List<TopicPartition> offsets, bool alsoGroup)
    {
        if (offsets.Count == 0 && !alsoGroup)
        {
            return Task.FromResult(ErrorCode.None);
        }

        long now = UtcNow();
        RecordBatchBuilder batch = new();
        foreach (TopicPartition partition in offsets)
        {
            OffsetsRecord.AppendCommitTombstone(batch, groupId, partition, now);
        }

        if (alsoGroup)
        {
            OffsetsRecord.AppendGroupTombstone(batch, groupId, now);
        }

        TaskCompletionSource<ErrorCode> completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ErrorCode refusal = _offsetsTopic.Append(
            groupId,
            batch,
            decided: (error, position) =>
            {
                if (error == ErrorCode.None)
                {
                    foreach (TopicPartition partition in offsets)
                    {
                        Pending.Delete(groupId, partition, position);
                        Offsets.Apply(groupId, partition, offset: null, position);
                        position = position.Next;
                    }
                }

                completion.SetResult(error);
            },
            abandoned: () => completion.TrySetResult(ErrorCode.CoordinatorNotAvailable));
        return refusal == ErrorCode.None ? completion.Task : Task.FromResult(refusal);
    }

    private List<TopicPartition> Committed(string groupId, IEnumerable<TopicPartition> partitions) =>
        [.. partitions.Where(partition => Offsets.TryGet(groupId, partition, out _) || Pending.IsPending(groupId, partition)).Distinct()];

    /// <summary>What the group has committed, and what waits for its transaction: that would come back when the transaction ends.</summary>
    private List<TopicPartition> EveryOffset(string groupId) =>
        [.. Offsets.All(groupId).Select(offset => offset.Key).Union(Pending.All.Where(pending => pending.GroupId == groupId).Select(pending => pending.Partition))];

    private IEnumerable<string> KnownGroups() =>
        _seats.Keys.Union(Offsets.Groups, StringComparer.Ordinal).Union(Pending.All.Select(pending => pending.GroupId), StringComparer.Ordinal);

    private long UtcNow() => _time.GetUtcNow().ToUnixTimeMilliseconds();
}
