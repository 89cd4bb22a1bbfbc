using Millrace.Log;

namespace Millrace.Broker;

// A partition of the offsets topic that was offline and came back.
internal sealed partial class GroupCoordinator
{
    /// <summary>
    /// Makes of the groups of a partition what its log says, as at a start: it may have lost what was not on the disk, and may hold what was taken for lost. Who waits in
    /// one of them, or comes before this is done, is told that the coordinator is not available.
    /// </summary>
    public Task ReloadAsync(PartitionLog log)
    {
        Dictionary<string, GroupSnapshot> snapshots = new(StringComparer.Ordinal);
        return _offsetsTopic.ReloadAsync(log, () => Unload(log.TopicPartition.Partition), entry => Replay(entry, snapshots), () =>
        {
            foreach ((string groupId, GroupSnapshot snapshot) in snapshots)
            {
                Restore(groupId, snapshot);
            }
        });
    }

    private void Unload(int offsetsPartition)
    {
        foreach (string groupId in KnownGroups().Where(groupId => _offsetsTopic.PartitionOf(groupId) == offsetsPartition).ToList())
        {
            if (_seats.TryRemove(groupId, out Seat? seat))
            {
                seat.Kill(this);
            }

            Offsets.Forget(groupId);
        }

        Pending.Forget(offsetsPartition);
    }
}
