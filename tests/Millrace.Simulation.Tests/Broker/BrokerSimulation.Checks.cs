using Millrace.Broker;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Simulation.Tests;

// What disturbs the broker, and what has to hold all the same.
internal sealed partial class BrokerSimulation
{
    private void Disturb()
    {
        switch (_random.Next(900))
        {
            case < 2:
                _machine.Storage.FailNext(SimulatedOperation.SyncData, ".log");
                break;
            case < 4:
                _machine.Storage.FailNext(SimulatedOperation.Write, ".log");
                break;
            case 4:
                _mayRefuse = true;
                _machine.Storage.FailNext(Pick(SimulatedOperation.Rename, SimulatedOperation.Create, SimulatedOperation.SyncDirectory, SimulatedOperation.Read));
                break;
            case < 7:
                _mayRefuse = true;
                _machine.Storage.FreeByteCount = _random.Next(3000);
                break;
            case < 20:
                _machine.Storage.FreeByteCount = long.MaxValue;
                break;
            case < 30:
                _isDiskSlow = !_isDiskSlow;
                break;
            case < 40 when _links.Count > 0:
                SimulatedLink link = _links[_random.Next(_links.Count)];
                if (!link.IsSteady)
                {
                    _programs.Enter(link.Cut);
                    _links.Remove(link);
                }

                break;
            case < 60:
                ShrinkSegments();
                break;
            case 60:
                Clock.Advance(TimeSpan.FromSeconds(_random.Next(70)));
                break;
        }
    }

    /// <summary>Smaller than the settings of a topic allow, so that there are many.</summary>
    private void ShrinkSegments()
    {
        foreach (string topic in Topics.Select(static partition => partition.Topic).Distinct())
        {
            TopicSettingsCell cell = _machine.Log!.SettingsCellOf(topic);
            cell.Current = cell.Current with { SegmentByteCount = Pick(400, 2000, 100_000), IndexIntervalByteCount = Pick(0, 300, 4096) };
        }
    }

    /// <summary>What must hold at every moment.</summary>
    private void Watch()
    {
        if (_machine.Broker is null)
        {
            return;
        }

        foreach (ModelPartition known in Model.Partitions)
        {
            if (_machine.Find(known.Name) is PartitionLog log)
            {
                Watch(known, log);
            }
        }
    }

    private void Watch(ModelPartition known, PartitionLog log)
    {
        if (!log.IsOnline || log.LeaderEpoch != known.LeaderEpoch)
        {
            bool hasComeBack = log.IsOnline;
            if (known.IsOnline || hasComeBack)
            {
                // What was not synced may be gone; nobody knows before it is back.
                known.MayHaveLost();
            }

            if (known.IsOnline != hasComeBack)
            {
                Trace?.Add($"{known.Name}: {log.OfflineReason ?? $"online in epoch {log.LeaderEpoch}, ends at {log.LogEndOffset}"}");
            }

            known.IsOnline = hasComeBack;
            if (hasComeBack)
            {
                ReturnCount++;
                foreach (ModelGroup group in Model.Groups.Values.Where(group => group.Partition == known.Name))
                {
                    group.Ended(log.LogEndOffset.Value);
                }

                Require.That(log.LeaderEpoch > known.LeaderEpoch, $"the leader epoch of {known.Name} rises when it comes back");
                Begin(known, log);
            }

            return;
        }

        Require.That(log.HighWatermark <= log.LogEndOffset, $"the high watermark of {known.Name} is not beyond its end");
        Require.That(log.LastStableOffset <= log.HighWatermark, $"the last stable offset of {known.Name} is not beyond its high watermark");
        Require.That(log.HighWatermark >= known.HighWatermark, $"the high watermark of {known.Name} does not fall from {known.HighWatermark} to {log.HighWatermark}");
        Require.That(log.LastStableOffset >= known.LastStableOffset, $"the last stable offset of {known.Name} does not fall from {known.LastStableOffset} to {log.LastStableOffset}");
        known.HighWatermark = log.HighWatermark;
        known.LastStableOffset = log.LastStableOffset;
    }

    private static void Begin(ModelPartition known, PartitionLog log)
    {
        known.IsOnline = true;
        known.LeaderEpoch = log.LeaderEpoch;
        known.HighWatermark = log.HighWatermark;
        known.LastStableOffset = log.LastStableOffset;
    }

    private void AfterStart(bool hasLost)
    {
        foreach (ModelPartition known in Model.Partitions)
        {
            PartitionLog? log = _machine.Find(known.Name);
            Require.That(log is not null, $"{known.Name} is there");
            Require.That(log.IsOnline, $"{known.Name} is online, not: {log.OfflineReason}");
            Require.That(log.LeaderEpoch >= known.LeaderEpoch, $"the leader epoch of {known.Name} never falls");
            if (hasLost || !known.IsOnline)
            {
                known.MayHaveLost();
            }

            Begin(known, log);
        }

        foreach ((string name, ModelGroup group) in Model.Groups)
        {
            if (_sabotage == BrokerSabotage.ForgetClamp && group.Promised >= 0)
            {
                CommittedOffset before = new(new Offset(group.Promised), CommittedOffset.UnknownLeaderEpoch, "", CommitTimestamp: 0);
                _machine.Broker!.Groups.Offsets.Apply(name, group.Partition, before, new Offset(long.MaxValue));
            }

            group.Begin();
            group.Ended(_machine.Find(group.Partition)!.LogEndOffset.Value);
            group.Begin();
        }
    }

    /// <summary>Reads everything as clients do, and compares it with what they were told.</summary>
    private async Task VerifyAsync(bool isAfterStart)
    {
        SimulatedLink link = Connect();
        foreach (ModelPartition partition in Model.Partitions)
        {
            (Offset start, Offset end) = await BoundsAsync(link, partition.Name, isCommitted: false);
            (_, Offset stable) = await BoundsAsync(link, partition.Name, isCommitted: true);
            List<ReadBatch> all = await ReadAllAsync(link, partition.Name, start, end, isCommitted: false);
            partition.Check(all, start, end, isAfterStart);
            List<ReadBatch> committed = await ReadAllAsync(link, partition.Name, start, stable, isCommitted: true);
            partition.CheckCommitted(committed, all, stable);
        }

        foreach ((string name, ModelGroup group) in Model.Groups)
        {
            await VerifyAsync(link, name, group);
        }
    }

    private async Task VerifyAsync(SimulatedLink link, string name, ModelGroup group)
    {
        OffsetFetchRequest request = new()
        {
            GroupId = name,
            RequireStable = true,
            Topics = [new OffsetFetchTopic { Name = group.Partition.Topic, Partitions = [group.Partition.Partition] }],
        };
        OffsetFetchResponse? response = await link.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(request, 7);
        Require.That(response?.ErrorCode == ErrorCode.None, $"the offsets of {name} can be read, not: {response?.ErrorCode}");
        OffsetFetchPartitionResponse found = response!.Topics[0].Partitions[0];
        if (found.ErrorCode != ErrorCode.UnstableOffsetCommit)
        {
            Require.That(found.ErrorCode == ErrorCode.None, $"the offset of {name} can be read, not: {found.ErrorCode}");
            Offset end = _machine.Find(group.Partition)!.LogEndOffset;
            Require.That(found.CommittedOffset <= end.Value || group.MayBeBeyondEnd, $"{name} has committed {found.CommittedOffset}, which is not beyond the end of {group.Partition} at {end}");
            Require.That(
                !group.IsOfLostRecords(found.CommittedOffset) || group.MayBeBeyondEnd,
                $"{name} has committed {found.CommittedOffset} of records that {group.Partition} has lost, which is set back");
            group.Found(name, found.CommittedOffset);
        }
    }

    private static async Task<(Offset Start, Offset End)> BoundsAsync(SimulatedLink link, TopicPartition partition, bool isCommitted)
    {
        const long latest = -1;
        const long earliest = -2;
        long[] found = new long[2];
        for (int number = 0; number < found.Length; number++)
        {
            ListOffsetsRequest request = new()
            {
                ReplicaId = -1,
                IsolationLevel = isCommitted ? BrokerReader.ReadCommitted : (sbyte)0,
                Topics =
                [
                    new ListOffsetsTopic
                    {
                        Name = partition.Topic,
                        Partitions = [new ListOffsetsPartition { Index = partition.Partition, Timestamp = number == 0 ? earliest : latest }],
                    },
                ],
            };
            ListOffsetsResponse? response = await link.SendAsync<ListOffsetsRequest, ListOffsetsResponse>(request, 7);
            ListOffsetsPartitionResponse answer = response!.Topics[0].Partitions[0];
            Require.That(answer.ErrorCode == ErrorCode.None, $"the offsets of {partition} are known, not: {answer.ErrorCode}");
            found[number] = answer.Offset;
        }

        return (new Offset(found[0]), new Offset(found[1]));
    }

    private async Task<List<ReadBatch>> ReadAllAsync(SimulatedLink link, TopicPartition partition, Offset start, Offset end, bool isCommitted)
    {
        List<ReadBatch> all = [];
        Offset next = start;
        while (next < end)
        {
            bool isFiltered = isCommitted && _sabotage != BrokerSabotage.ForgetIsolation;
            FetchPartitionResponse? response = await BrokerReader.FetchAsync(link, partition, next, isFiltered, 1 + Next(4000), maxWaitMilliseconds: 0);
            Require.That(response?.ErrorCode == ErrorCode.None, $"{partition} can be read at {next}, not: {response?.ErrorCode}");
            if (_sabotage == BrokerSabotage.ForgetAborted)
            {
                response!.AbortedTransactions?.Clear();
            }

            Offset from = next;
            all.AddRange(BrokerReader.Batches(response!, from, isFiltered, out next));
            Require.That(next > from, $"there is something to read in {partition} at {from} below {end}");
        }

        return all;
    }
}
