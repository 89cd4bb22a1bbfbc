using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Simulation.Tests;

// What has to hold at the end.
internal sealed partial class ClientSimulation
{
    private static readonly TimeSpan LongestTransaction = TimeSpan.FromSeconds(30);

    /// <summary>The broker is asked directly, without the client.</summary>
    private async Task CheckAsync()
    {
        // What nobody ends is ended by its coordinator.
        await Clock.PauseAsync(LongestTransaction + LongestTransaction);
        SimulatedLink link = NewLink("check");
        Dictionary<TopicPartition, List<(Offset Offset, int Id)>> all = [];
        Dictionary<TopicPartition, List<(Offset Offset, int Id)>> committed = [];
        foreach (TopicPartition partition in Orders.Concat(Ledger).Concat(Shipments))
        {
            (all[partition], Offset end) = await ReadAsync(link, partition, isCommitted: false);
            (committed[partition], Offset committedEnd) = await ReadAsync(link, partition, isCommitted: true);
            Require.That(end == committedEnd, $"no transaction of {partition} is open for ever: committed records end at {committedEnd}, all at {end}");
        }

        CheckOrders(all);
        CheckLedger(committed);
        CheckReadings(all, committed);
        await CheckGroupAsync(link, Model.Readers, all, _programs.Exists(static program => program is OrderReader));
        Dictionary<TopicPartition, long> done = await CheckGroupAsync(link, Model.Workers, all, _programs.Exists(static program => program is ShipmentWorker));
        CheckShipments(all, committed, done);
    }

    private static async Task<(List<(Offset Offset, int Id)> Records, Offset End)> ReadAsync(SimulatedLink link, TopicPartition partition, bool isCommitted)
    {
        List<(Offset Offset, int Id)> records = [];
        Offset next = Offset.Zero;
        while (true)
        {
            FetchPartitionResponse? response = await BrokerReader.FetchAsync(link, partition, next, isCommitted, maxByteCount: 1_000_000, maxWaitMilliseconds: 0);
            Require.That(response is { ErrorCode: ErrorCode.None }, $"{partition} can be read from {next}: {response?.ErrorCode}");
            List<ReadBatch> batches = BrokerReader.Batches(response!, next, isCommitted, out next);
            if (batches.Count == 0)
            {
                return (records, next);
            }

            records.AddRange(batches.SelectMany(static batch => batch.Ids.Select((id, index) => (batch.Header.BaseOffset + index, id))));
        }
    }

    /// <summary>What was acknowledged is there once, and what was not at most once; in the order of the calls.</summary>
    private void CheckOrders(Dictionary<TopicPartition, List<(Offset Offset, int Id)>> all)
    {
        foreach (TopicPartition partition in Orders)
        {
            Dictionary<int, Offset> found = [];
            Dictionary<int, int> last = [];
            foreach ((Offset offset, int id) in all[partition])
            {
                Require.That(found.TryAdd(id, offset), $"order {id} is in {partition} once, not at {found.GetValueOrDefault(id)} and {offset}");
                ClientRecord record = Model.Records[id];
                Require.That(record.Partition == partition, $"order {id} is in {record.Partition}, where it was sent to, and not in {partition}");
                int before = last.GetValueOrDefault(record.Session, -1);
                Require.That(before < id, $"order {id} at {offset} of {partition} does not stand behind {before}, which was sent after it");
                last[record.Session] = id;
            }

            foreach (ClientRecord record in Model.Records.Where(record => record.Partition == partition && record.IsAcknowledged))
            {
                Require.That(found.TryGetValue(record.Id, out Offset offset), $"order {record.Id}, which was acknowledged, is in {partition}");
                Require.That(record.Offset is null || record.Offset == offset, $"order {record.Id} is at {record.Offset} of {partition}, as its producer was told, and not at {offset}");
            }
        }
    }

    /// <summary>Transactions are there as a whole and once, or not at all.</summary>
    private void CheckLedger(Dictionary<TopicPartition, List<(Offset Offset, int Id)>> committed)
    {
        Dictionary<int, int> counts = [];
        foreach ((Offset offset, int id) in Ledger.SelectMany(partition => committed[partition]))
        {
            Require.That(counts.TryAdd(id, 1), $"entry {id} is committed once, and not again at {offset}");
        }

        foreach (ClientTransaction transaction in Model.Transactions)
        {
            int count = transaction.Records.Count(record => counts.ContainsKey(record.Id));
            bool isThere = transaction.Fate == TransactionFate.Committed || (transaction is { Fate: TransactionFate.Open, IsCommitAsked: true } && count > 0);
            int due = isThere ? transaction.Records.Count : 0;
            Require.That(
                count == due,
                $"of a transaction that is {transaction.Fate}{(transaction.IsCommitAsked ? ", with its commit asked for" : "")}, {due} entries are there and not {count}: {string.Join(", ", transaction.Records.Select(static record => record.Id))}");
        }

        foreach (TopicPartition partition in Ledger)
        {
            Dictionary<int, int> last = [];
            foreach ((Offset offset, int id) in committed[partition])
            {
                int session = Model.Records[id].Session;
                Require.That(last.GetValueOrDefault(session, -1) < id, $"entry {id} at {offset} of {partition} does not stand behind {last.GetValueOrDefault(session)}");
                last[session] = id;
            }
        }
    }

    /// <summary>Who reads gets what is there, without a gap and without anything else.</summary>
    private void CheckReadings(Dictionary<TopicPartition, List<(Offset Offset, int Id)>> all, Dictionary<TopicPartition, List<(Offset Offset, int Id)>> committed)
    {
        foreach (ClientReading reading in Model.Readings.Where(static reading => reading.Records.Count > 0))
        {
            List<(Offset Offset, int Id)> there = (reading.IsCommitted ? committed : all)[reading.Partition];
            int start = there.BinarySearch(reading.Records[0], Comparer<(Offset Offset, int Id)>.Create(static (one, other) => one.Offset.CompareTo(other.Offset)));
            Require.That(start >= 0, $"what was read at {reading.Records[0].Offset} of {reading.Partition} is there");
            for (int index = 0; index < reading.Records.Count; index++)
            {
                Require.That(start + index < there.Count, $"what was read at {reading.Records[index].Offset} of {reading.Partition} is there");
                Require.That(
                    there[start + index] == reading.Records[index],
                    $"a reader of {reading.Partition} gets {there[start + index].Id} at {there[start + index].Offset}, and not {reading.Records[index].Id} at {reading.Records[index].Offset}");
            }
        }
    }

    /// <summary>What was committed is known, never further than what was read, and in the end everything. Returns what the broker has.</summary>
    private async Task<Dictionary<TopicPartition, long>> CheckGroupAsync(
        SimulatedLink link, ClientGroup group, Dictionary<TopicPartition, List<(Offset Offset, int Id)>> all, bool hasMembers)
    {
        OffsetFetchRequest request = new()
        {
            GroupId = group.Name,
            Topics = [new OffsetFetchTopic { Name = Orders[0].Topic, Partitions = [.. Orders.Select(static partition => partition.Partition)] }],
        };
        OffsetFetchResponse? response = await link.SendAsync<OffsetFetchRequest, OffsetFetchResponse>(request, 5);
        Dictionary<TopicPartition, long> committed = [];
        foreach (OffsetFetchPartitionResponse answer in response!.Topics[0].Partitions)
        {
            var partition = new TopicPartition(Orders[0].Topic, answer.Index);
            long offset = Math.Max(answer.CommittedOffset, 0);
            long acknowledged = group.Acknowledged.GetValueOrDefault(partition);
            long asked = group.Asked.GetValueOrDefault(partition);
            Require.That(offset >= acknowledged, $"{group.Name} has committed {acknowledged} of {partition}, and does not go back to {offset}");
            Require.That(offset <= asked, $"{group.Name} has read {asked} of {partition} at most, and has not committed {offset}");

            // What a closed producer had put on its way may be written after the last member has left.
            List<(Offset Offset, int Id)> left = [.. all[partition].Where(order => order.Offset.Value >= offset)];
            Require.That(
                !hasMembers || left.TrueForAll(order => !Model.Records[order.Id].IsAcknowledged),
                $"{group.Name} has done all of {partition}, and not left {string.Join(", ", left.Select(static order => order.Id))} from {offset} on");
            committed[partition] = offset;
        }

        return committed;
    }

    /// <summary>Each order that was processed has one shipment, and no other has any.</summary>
    private static void CheckShipments(
        Dictionary<TopicPartition, List<(Offset Offset, int Id)>> all,
        Dictionary<TopicPartition, List<(Offset Offset, int Id)>> committed,
        Dictionary<TopicPartition, long> done)
    {
        Dictionary<int, Offset> shipped = [];
        foreach ((Offset offset, int id) in Shipments.SelectMany(partition => committed[partition]))
        {
            Require.That(shipped.TryAdd(id, offset), $"order {id} is shipped once, not at {shipped.GetValueOrDefault(id)} and {offset}");
        }

        foreach (TopicPartition partition in Orders)
        {
            foreach ((Offset offset, int id) in all[partition])
            {
                bool isDone = offset.Value < done[partition];
                Require.That(shipped.Remove(id) == isDone, $"order {id} at {offset} of {partition} is {(isDone ? "" : "not ")}shipped, since the workers are at {done[partition]}");
            }
        }

        Require.That(shipped.Count == 0, "nothing is shipped that was not ordered");
    }
}
