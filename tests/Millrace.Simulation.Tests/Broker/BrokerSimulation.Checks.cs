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
                Refuse();
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
                Clock.Advance(TimeSpan.FromSeconds(_random.Next(Chance(25) ? 200 : 70)));
                break;
            case < 80:
                _machine.Compact();
                break;
        }
    }

    /// <summary>An operation of the disk of any kind, or several in a row.</summary>
    private void Refuse()
    {
        _mayRefuse = true;
        DiskRefusals.Arm(_machine.Storage, _random);
    }

    /// <summary>Smaller than the settings of a topic allow, so that there are many.</summary>
    private void ShrinkSegments()
    {
        foreach (string topic in _machine.Broker!.Topics.All.Select(static topic => topic.Name).Order(StringComparer.Ordinal))
        {
            bool isInternal = TopicName.IsInternal(topic);
            TopicSettingsCell cell = _machine.Log!.SettingsCellOf(topic);
            cell.Current = cell.Current with
            {
                SegmentByteCount = isInternal ? Pick(1500, 4000, 100_000) : Pick(400, 2000, 100_000),
                IndexIntervalByteCount = Pick(0, 300, 4096),
                DeleteRetentionMilliseconds = Pick(0L, 86_400_000L),
            };
            if (Topics.Any(partition => partition.Topic == topic) && Chance(10))
            {
                LimitSize(cell, topic);
            }
        }
    }

    /// <summary>Lets old records go from here on, until the next start.</summary>
    private void LimitSize(TopicSettingsCell cell, string topic)
    {
        cell.Current = cell.Current with { RetentionByteCount = Pick(1000L, 5000L) };
        foreach (ModelPartition known in Model.Partitions.Where(known => known.Name.Topic == topic))
        {
            known.IsSizeLimited = true;
        }
    }

    /// <summary>Nothing goes any more while it is looked at.</summary>
    private void KeepAll()
    {
        foreach (string topic in Topics.Select(static partition => partition.Topic).Distinct())
        {
            TopicSettingsCell cell = _machine.Log!.SettingsCellOf(topic);
            cell.Current = cell.Current with { RetentionByteCount = TopicLogSettings.Default.RetentionByteCount };
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
                TellGroups(known, log);
                Require.That(log.LeaderEpoch > known.LeaderEpoch, $"the leader epoch of {known.Name} rises when it comes back");
                Begin(known, log);
            }

            return;
        }

        known.StartsAt(log.LogStartOffset);
        Offset mark = _sabotage == BrokerSabotage.LowerWatermarks && Chance(1) ? log.HighWatermark + -1 : log.HighWatermark;
        Require.That(mark <= log.LogEndOffset, $"the high watermark of {known.Name} is not beyond its end");
        Require.That(log.LastStableOffset <= mark, $"the last stable offset of {known.Name} is not beyond its high watermark");
        Require.That(mark >= known.HighWatermark, $"the high watermark of {known.Name} does not fall from {known.HighWatermark} to {mark}");
        Require.That(log.LastStableOffset >= known.LastStableOffset, $"the last stable offset of {known.Name} does not fall from {known.LastStableOffset} to {log.LastStableOffset}");
        known.HighWatermark = mark;
        known.LastStableOffset = log.LastStableOffset;
    }

    /// <summary>Of several epochs that began since, the first is the one that has cut what groups have committed before.</summary>
    private void TellGroups(ModelPartition known, PartitionLog log)
    {
        foreach (LeaderEpochStart epoch in log.LeaderEpochs.Where(epoch => epoch.Epoch > known.LeaderEpoch).Take(1))
        {
            foreach (ModelGroup group in Model.Groups.Where(group => group.Partition == known.Name))
            {
                group.Ended(epoch.StartOffset.Value);
            }
        }
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

            known.StartsAt(log.LogStartOffset);
            ForgetOrigins(known);
            TellGroups(known, log);
            Begin(known, log);
        }
    }

    private void ForgetOrigins(ModelPartition known)
    {
        foreach (ModelGroup group in Model.Groups.Where(group => group.Partition == known.Name))
        {
            if (_sabotage == BrokerSabotage.ForgetCommitOrigins && group.Promised >= 0)
            {
                CommittedOffset before = new(new Offset(group.Promised), CommittedOffset.UnknownLeaderEpoch, "", CommitTimestamp: 0);
                _machine.Broker!.Groups.Offsets.Apply(group.Id, group.Partition, before, new Offset(long.MaxValue));
            }
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
            await VerifyTimesAsync(link, partition.Name, all, start);
        }

        foreach (ModelGroup group in Model.Groups)
        {
            await VerifyAsync(link, group);
        }
    }

    /// <summary>A time is found where the first record is that has it or a later one.</summary>
    private async Task VerifyTimesAsync(SimulatedLink link, TopicPartition partition, List<ReadBatch> all, Offset start)
    {
        if (all.Count == 0)
        {
            return;
        }

        // All records of a batch have one time here.
        long time = all[Next(all.Count)].Header.MaxTimestamp + Next(3) - 1;
        int first = all.FindIndex(batch => batch.Header.MaxTimestamp >= time);
        long expected = first < 0 ? -1 : Offset.Max(all[first].Header.BaseOffset, start).Value;
        long asked = _sabotage == BrokerSabotage.ShiftTimes ? time + 1 : time;
        long found = (await FindOffsetAsync(link, partition, asked, isCommitted: false)).Value;
        Require.That(found == expected, $"the first record of {partition} at or after {time} is at {expected}, and not at {found}");
    }

    private async Task VerifyAsync(SimulatedLink link, ModelGroup group)
    {
        OffsetFetchRequest request = new()
        {
            GroupId = group.Id,
            RequireStable = true,
            Topics = [new OffsetFetchTopic { Name = group.Partition.Topic, Partitions = [group.Partition.Partition] }],
        };
        OffsetFetchResponse? response = await link.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(request, 7);
        Require.That(response?.ErrorCode == ErrorCode.None, $"the offsets of {group.Id} can be read, not: {response?.ErrorCode}");
        OffsetFetchPartitionResponse found = response!.Topics[0].Partitions[0];
        if (found.ErrorCode != ErrorCode.UnstableOffsetCommit)
        {
            Require.That(found.ErrorCode == ErrorCode.None, $"the offset of {group.Id} can be read, not: {found.ErrorCode}");
            group.Found(found.CommittedOffset, Model[group.Partition], group.Promised);
        }
    }

    private static async Task<(Offset Start, Offset End)> BoundsAsync(SimulatedLink link, TopicPartition partition, bool isCommitted)
    {
        const long latest = -1;
        const long earliest = -2;
        return (await FindOffsetAsync(link, partition, earliest, isCommitted), await FindOffsetAsync(link, partition, latest, isCommitted));
    }

    private static async Task<Offset> FindOffsetAsync(SimulatedLink link, TopicPartition partition, long timestamp, bool isCommitted)
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
                    Partitions = [new ListOffsetsPartition { Index = partition.Partition, Timestamp = timestamp }],
                },
            ],
        };
        ListOffsetsResponse? response = await link.SendAsync<ListOffsetsRequest, ListOffsetsResponse>(request, 7);
        ListOffsetsPartitionResponse answer = response!.Topics[0].Partitions[0];
        Require.That(answer.ErrorCode == ErrorCode.None, $"the offsets of {partition} are known, not: {answer.ErrorCode}");
        return new Offset(answer.Offset);
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
