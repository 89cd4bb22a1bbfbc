using Millrace.Log;

namespace Millrace.Broker;

// Markers that may be missing in a partition, and the decisions from which they can be written again: what is known of those is never overwritten before.
internal sealed partial class TransactionCoordinator
{
    /// <summary>
    /// The decisions that the next record of an id has to name, oldest first, with the partitions in which their markers may be missing. The last one is among them also where
    /// that record is none itself: compaction keeps the newest record of an id alone.
    /// </summary>
    private List<OwedMarkers> OwedBy(TransactionSeat seat)
    {
        seat.UnsyncedMarkers.RemoveAll(IsSettled);
        seat.Doubtful.RemoveAll(partition => IsGone(partition) || partition is { IsOnline: true, AwaitsSettlement: false });
        if (seat.UnsyncedMarkers.Count == 0 && seat.Doubtful.Count == 0)
        {
            return [];
        }

        IEnumerable<OwedMarkers> decisions = seat.Decision is { } decision ? seat.EarlierDecisions.Append(OwedMarkers.Of(decision)) : seat.EarlierDecisions;
        return OwedMarkers.LeftOf(
            decisions,
            seat.Doubtful.Select(static partition => partition.TopicPartition)
                .Concat(seat.UnsyncedMarkers.Select(static marker => marker.Partition.TopicPartition)));
    }

    /// <summary>
    /// The marker is on the disk, or nobody can read it any more; or its partition lost it while it was offline, and got another one when it came back, if there was still
    /// something to end.
    /// </summary>
    private bool IsSettled(AppendedRecords marker) =>
        marker.AreOnDisk || IsGone(marker.Partition)
        || (!marker.AreOnTheirWay && marker.Partition is { IsOnline: true, AwaitsSettlement: false } && !marker.AreOnDisk);

    private bool IsGone(PartitionLog partition) => !ReferenceEquals(_services.Topics.Find(partition.TopicPartition), partition);

    /// <summary>
    /// Writes down which markers are missing where no record has said so. While a decision is on its way this is left to its record.
    /// </summary>
    private void NoteOwed(TransactionSeat seat)
    {
        if (!seat.Machine.IsBusy && OwedBy(seat).Exists(owed => !seat.Recorded.Any(owed.IsPartOf)))
        {
            Note(seat, seat.Machine.Current);
        }
    }
}
