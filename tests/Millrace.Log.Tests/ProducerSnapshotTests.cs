using System.Buffers.Binary;
using Millrace.Kafka.Records;

namespace Millrace.Log.Tests;

public class ProducerSnapshotTests
{
    private const int MaximumProducerCount = 5;

    // Written by hand from the format. Producer 8 has a marker only; 7 two batches, of which Kafka keeps the last; 9 an open transaction.
    private const string Producers =
        "00000003"
        + "0000000000000008" + "0004" + "ffffffff" + "ffffffffffffffff" + "00000000" + "0000000000000bb8" + "00000006" + "ffffffffffffffff"
        + "0000000000000007" + "0002" + "00000002" + "000000000000000c" + "00000000" + "00000000000003f4" + "ffffffff" + "ffffffffffffffff"
        + "0000000000000009" + "0000" + "00000006" + "0000000000000015" + "00000001" + "00000000000007d1" + "ffffffff" + "0000000000000014";

    private const string OlderBatches =
        "4d696c6c" + "0001"
        + "0000000000001388" + "00"
        + "ffffffffffffffff" + "01" + "00000001" + "000000000000000b" + "00000001"
        + "ffffffffffffffff" + "00";

    private static readonly byte[] Golden = Convert.FromHexString("0001" + "f45b65c5" + Producers + OlderBatches);
    private static readonly byte[] GoldenOfKafka = Convert.FromHexString("0001" + "837785cf" + Producers);

    [Fact]
    public void A_snapshot_has_Kafkas_layout_and_the_older_batches_behind_it() =>
        Assert.Equal(Convert.ToHexString(Golden), Convert.ToHexString(GoldenStates().WriteSnapshot()));

    [Fact]
    public void A_snapshot_that_is_read_is_written_the_same_and_knows_the_same()
    {
        Assert.True(ProducerStates.TryReadSnapshot(Golden, MaximumProducerCount, out ProducerStates? states));
        Assert.Equal(Golden, states.WriteSnapshot());
        Assert.Equal(GoldenStates().ActiveProducers, states.ActiveProducers);
        Assert.Equal(new Offset(20), states.FirstOpenTransactionOffset);
        Assert.Equal([new OpenTransaction(new ProducerIdentity(9, 0), new Offset(20), 2001)], states.OpenTransactions);
        Assert.Equal(ProducerVerdict.Duplicate, Judge(states, producerId: 7, epoch: 2, sequence: 0, recordCount: 2));
        Assert.Equal(ProducerVerdict.Duplicate, Judge(states, producerId: 7, epoch: 2, sequence: 2));
        Assert.Equal(ProducerVerdict.Accept, Judge(states, producerId: 7, epoch: 2, sequence: 3));
        Assert.Equal(ProducerVerdict.OutOfOrder, Judge(states, producerId: 8, epoch: 4, sequence: 1));
        Assert.Equal(ProducerVerdict.Accept, Judge(states, producerId: 8, epoch: 4, sequence: 0));
    }

    [Fact]
    public void A_snapshot_that_Kafka_wrote_is_read_and_its_older_batches_are_not_known()
    {
        Assert.True(ProducerStates.TryReadSnapshot(GoldenOfKafka, MaximumProducerCount, out ProducerStates? states));
        Assert.Equal(GoldenStates().ActiveProducers, states.ActiveProducers);
        Assert.Equal(ProducerVerdict.OutOfOrder, Judge(states, producerId: 7, epoch: 2, sequence: 0, recordCount: 2));
        Assert.Equal(ProducerVerdict.Duplicate, Judge(states, producerId: 7, epoch: 2, sequence: 2));
    }

    [Fact]
    public void A_snapshot_with_any_bit_changed_or_any_part_missing_is_not_read()
    {
        for (int length = 0; length < Golden.Length; length++)
        {
            Assert.False(ProducerStates.TryReadSnapshot(Golden.AsSpan(0, length), MaximumProducerCount, out _));
            Assert.False(ProducerStates.TryReadSnapshot(Sealed(Golden[..length]), MaximumProducerCount, out _) && length != GoldenOfKafka.Length);
        }

        for (int bit = 0; bit < Golden.Length * 8; bit++)
        {
            byte[] changed = [.. Golden];
            changed[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.False(ProducerStates.TryReadSnapshot(changed, MaximumProducerCount, out _));
        }
    }

    [Fact]
    public void Nonsense_under_a_right_checksum_is_not_read()
    {
        AssertUnreadable(static bytes => BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(6), -1));
        AssertUnreadable(static bytes => BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(6), int.MaxValue));
        AssertUnreadable(static bytes => BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(10), 7));
        AssertUnreadable(static bytes => BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(10), -1));
        AssertUnreadable(static bytes => bytes[162] = 5);
        Assert.False(ProducerStates.TryReadSnapshot(Sealed([.. Golden, 0]), MaximumProducerCount, out _));
    }

    [Fact]
    public void A_snapshot_and_the_batches_after_it_give_what_all_batches_give()
    {
        var random = new Random(1);
        for (int round = 0; round < 50; round++)
        {
            var all = new ProducerStates(MaximumProducerCount);
            ProducerStates afterSnapshot = all;
            int snapshotAt = random.Next(60);
            for (int number = 0; number < 60; number++)
            {
                if (number == snapshotAt)
                {
                    Assert.True(ProducerStates.TryReadSnapshot(all.WriteSnapshot(), MaximumProducerCount, out ProducerStates? read));
                    afterSnapshot = read;
                }

                (RecordBatchHeader header, byte[] batch) = AnyBatch(random, number);
                CompletedTransaction? completed = all.Observe(header, batch);
                if (afterSnapshot != all)
                {
                    Assert.Equal(completed, afterSnapshot.Observe(header, batch));
                }
            }

            Assert.Equal(all.WriteSnapshot(), afterSnapshot.WriteSnapshot());
            Assert.Equal(all.OpenTransactions, afterSnapshot.OpenTransactions);
        }
    }

    private static ProducerStates GoldenStates()
    {
        var states = new ProducerStates(MaximumProducerCount);
        Observe(states, 0, new EndTransactionMarker(IsCommit: true, CoordinatorEpoch: 6).ToBatch(new ProducerIdentity(8, 4), 3000).ToArray());
        states.Expire(now: 5000, TimeSpan.FromDays(1));
        Observe(states, 10, LogHarness.Batch(2, producerId: 7, epoch: 2, sequence: 0));
        Observe(states, 12, LogHarness.Batch(1, producerId: 7, epoch: 2, sequence: 2, timestamp: 1012));
        Observe(states, 20, LogHarness.Batch(2, producerId: 9, sequence: 5, timestamp: 2000, isTransactional: true));
        return states;
    }

    private static (RecordBatchHeader Header, byte[] Batch) AnyBatch(Random random, int offset)
    {
        var producer = new ProducerIdentity(random.Next(9), (short)(offset / 20));
        byte[] batch = random.Next(4) == 0
            ? new EndTransactionMarker(random.Next(2) == 0, CoordinatorEpoch: offset).ToBatch(producer, offset).ToArray()
            : LogHarness.Batch(1, producer.Id, producer.Epoch, sequence: offset, timestamp: offset, isTransactional: producer.Id % 2 == 0);
        RecordBatch.Assign(batch, new Offset(offset), leaderEpoch: 0);
        return (RecordBatchHeader.Read(batch), batch);
    }

    private static void Observe(ProducerStates states, long offset, byte[] batch)
    {
        RecordBatch.Assign(batch, new Offset(offset), leaderEpoch: 0);
        states.Observe(RecordBatchHeader.Read(batch), batch);
    }

    private static ProducerVerdict Judge(ProducerStates states, long producerId, short epoch, int sequence, int recordCount = 1) =>
        states.Check(RecordBatchHeader.Read(LogHarness.Batch(recordCount, producerId, epoch, sequence)), AppendOrigin.Client, earlier: null, verifiedAt: null, out _);

    private static void AssertUnreadable(Action<byte[]> edit)
    {
        byte[] bytes = [.. Golden];
        edit(bytes);
        Assert.False(ProducerStates.TryReadSnapshot(Sealed(bytes), MaximumProducerCount, out _));
    }

    private static byte[] Sealed(byte[] bytes)
    {
        if (bytes.Length >= 6)
        {
            BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(2), Crc32C.Compute(bytes.AsSpan(6)));
        }

        return bytes;
    }
}
