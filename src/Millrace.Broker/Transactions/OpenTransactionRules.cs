using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Broker;

/// <summary>What becomes of a transaction that a partition has open when the broker starts.</summary>
internal enum OpenTransactionFate
{
    /// <summary>Its producer goes on with it, or somebody may whose record cannot be read.</summary>
    LeftOpen,
    Committed,
    Aborted,

    /// <summary>Aborted, though nothing is decided about it: of what its producer did some trace is lost, so that whatever else it has open is given up with it.</summary>
    GivenUp,
}

/// <summary>The fate, and in whose name the marker is written that brings it about.</summary>
internal readonly record struct OpenTransactionVerdict(OpenTransactionFate Fate, ProducerIdentity Producer);

/// <summary>Decides the fate of open transactions at the start, from what the state topic says of their producers.</summary>
/// <remarks>
/// <code>
/// what the state topic says of the producer                                     nothing lost   after a loss of power
/// a decision whose markers may be missing covers the partition, and the         as decided     as decided
/// transaction began before where the partition ended when that was decided
/// a transaction is open, and includes the partition                             left open      given up
/// anything else, or nothing, while all of the topic can be read                 given up       given up
/// nothing, while a partition of the topic cannot be read                        left open      left open
/// </code>
/// Nothing is lost by a clean stop, nor by the end of the process alone. In the first row the marker was lost, or the process ended before it. That decision is the last one, or
/// an earlier one that the records still name; of several the oldest counts, since a transaction that an earlier one has ended is none of a later one's. A transaction that began
/// behind that end is a later one of the same producer, of which the state topic lost all trace: it is in the third row. That happens without a loss of power as well: what
/// is noted in the moment in which its partition of the state topic goes offline is never written there. After a loss of power no open transaction is gone on
/// with, since some of its records may be lost that its client takes for written.
/// </remarks>
internal static class OpenTransactionRules
{
    public static OpenTransactionVerdict Judge(
        OpenTransaction open, TopicPartition partition, RecordedTransaction? owner, bool isAfterPowerLoss, bool isEverythingKnown)
    {
        if (owner is not { State: { } state } known)
        {
            return isEverythingKnown ? GivenUp(open.Producer) : new OpenTransactionVerdict(OpenTransactionFate.LeftOpen, open.Producer);
        }

        if (FindDecision(known, open, partition) is { } decision)
        {
            return new OpenTransactionVerdict(decision.IsCommit ? OpenTransactionFate.Committed : OpenTransactionFate.Aborted, decision.Producer);
        }

        bool isOwnAndOpen = state.Status == TransactionStatus.Ongoing && state.Producer == open.Producer && state.Partitions.ContainsKey(partition);
        if (isOwnAndOpen && !isAfterPowerLoss)
        {
            return new OpenTransactionVerdict(OpenTransactionFate.LeftOpen, open.Producer);
        }

        // In the name of the newest epoch, so that nobody writes here any more with the one of the records.
        short epoch = state.Producer.Id == open.Producer.Id ? Math.Max(state.Fence(state.UpdateTimestamp).Producer.Epoch, open.Producer.Epoch) : open.Producer.Epoch;
        return GivenUp(open.Producer with { Epoch = epoch });
    }

    /// <summary>The decision about a transaction that is open all the same; null if there is none.</summary>
    private static OwedMarkers? FindDecision(RecordedTransaction known, OpenTransaction open, TopicPartition partition)
    {
        if (known.Owed.FirstOrDefault(owed => owed.Covers(open, partition)) is { } earlier)
        {
            return earlier;
        }

        if (known.Decision is not { } last)
        {
            return null;
        }

        // The decisions of Kafka's brokers have no ends, nor has a partition that was deleted by then. There only the last word counts.
        var decision = OwedMarkers.Of(last);
        bool isLastWord = known.State.IsDecided && last.Producer.Id == open.Producer.Id
            && last.Partitions.TryGetValue(partition, out PartitionEnd end) && end == PartitionEnd.None;
        return isLastWord || decision.Covers(open, partition) ? decision : null;
    }

    private static OpenTransactionVerdict GivenUp(ProducerIdentity producer) => new(OpenTransactionFate.GivenUp, producer);
}
