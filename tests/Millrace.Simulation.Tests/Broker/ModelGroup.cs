using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

/// <summary>What is known of a group's committed offset. Its clients never commit the same offset twice.</summary>
internal sealed class ModelGroup
{
    // Of each commit that was made before its partition lost records: where the log ended then.
    private readonly Dictionary<long, long> _caps = [];

    // Commits of which nobody knows whether the broker has taken them.
    private readonly HashSet<long> _unsettled = [];

    // Commits that the broker may have taken after the loss, from somebody who had read before it. No broker checks that: a consumer learns of the loss by the leader epoch.
    private readonly HashSet<long> _mayBeLate = [];

    // Commits that somebody tried, and the ends to which they may have been set back.
    private readonly SortedSet<long> _values = [-1];

    // In which transaction an offset was committed, if in one.
    private readonly Dictionary<long, ModelTransaction> _transactions = [];

    public required string Id { get; init; }

    /// <summary>Whose offsets it commits.</summary>
    public required TopicPartition Partition { get; init; }

    /// <summary>Nobody may find less than this.</summary>
    public long Promised { get; private set; } = -1;

    /// <summary>The furthest that somebody has tried to commit.</summary>
    public long Furthest => _values.Max;

    /// <summary>Somebody is about to commit.</summary>
    public void Try(long offset, ModelTransaction? transaction = null)
    {
        _values.Add(offset);
        _unsettled.Add(offset);
        if (transaction is not null)
        {
            _transactions[offset] = transaction;
        }
    }

    /// <summary>The request was answered, and comes no second time.</summary>
    public void Settle(long offset) => _unsettled.Remove(offset);

    /// <summary>Somebody was told that the offset is committed.</summary>
    public void Committed(long offset) => Promised = Math.Max(Promised, Capped(offset));

    /// <summary>Somebody has asked, and was told this.</summary>
    /// <param name="log">The group's partition.</param>
    /// <param name="least">What was promised when it asked.</param>
    public void Found(long offset, ModelPartition log, long least)
    {
        Require.That(offset >= least, $"{Id} finds no less than the {least} that was committed of {Partition}, and not {offset}");
        if (offset <= log.DeletePromised.Value && (!_values.Contains(offset) || _caps.ContainsKey(offset)))
        {
            // Nobody reads there: the log forgets where it had ended below its start.
            return;
        }

        Require.That(_values.Contains(offset), $"{Id} finds an offset of {Partition} that it committed, and not {offset}");
        if (!_mayBeLate.Contains(offset))
        {
            Require.That(offset <= log.HighWatermark.Value, $"{Id} has committed {offset}, which is not beyond the end of {Partition} at {log.HighWatermark}");
            Require.That(!_caps.ContainsKey(offset), $"{Id} has committed {offset} of records that {Partition} has lost, and finds the end of then: {Capped(offset)}");
        }

        if (_transactions.TryGetValue(offset, out ModelTransaction? transaction))
        {
            transaction.Decide(TransactionFate.Committed, $"the offset {offset} of {Id} is");
        }

        Committed(offset);
    }

    /// <summary>The partition is in a new epoch, which began at the end of its log.</summary>
    public void Ended(long end)
    {
        if (_values.Max <= end)
        {
            return;
        }

        foreach (long value in _values.Where(value => value > end))
        {
            _caps[value] = Math.Min(end, Capped(value));
        }

        _mayBeLate.UnionWith(_unsettled.Where(value => value > end));

        // Whoever finds this may have committed it, or something that is set back to it.
        _values.Add(end);
        _caps.Remove(end);
        _transactions.Remove(end);
        Promised = Math.Min(Promised, end);
    }

    /// <summary>What is left of a commit.</summary>
    private long Capped(long value) => _caps.GetValueOrDefault(value, value);
}
