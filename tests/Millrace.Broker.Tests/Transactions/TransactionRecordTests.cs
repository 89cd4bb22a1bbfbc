using Millrace.Kafka.Protocol;
using Millrace.Kafka.Records;

namespace Millrace.Broker.Tests;

public sealed class TransactionRecordTests
{
    [Fact]
    public void A_state_is_read_as_it_was_written()
    {
        TransactionState state = TransactionState.New("payments") with
        {
            Producer = new ProducerIdentity(7, 3),
            PreviousProducerId = 5,
            NextProducerId = 9,
            Timeout = TimeSpan.FromSeconds(60),
            Status = TransactionStatus.PrepareCommit,
            Partitions = TransactionState.NoPartitions
                .Add(new TopicPartition("b", 1), new PartitionEnd(new Offset(11), 2, new Guid(1, 2, 3, new byte[8]))).Add(new TopicPartition("b", 0), new PartitionEnd(new Offset(10), 1))
                .Add(new TopicPartition("a", 4), new PartitionEnd(new Offset(0), 5, new Guid(4, 5, 6, new byte[8]))),
            StartTimestamp = 1_000,
            UpdateTimestamp = 2_000,
        };

        TransactionState read = Reread(state);

        Assert.Equal(state.Partitions, read.Partitions);
        Assert.Equal(state with { Partitions = read.Partitions }, read);
    }

    [Theory]
    [InlineData(4, -1, TransactionStatus.CompleteCommit, 7, 3)]
    [InlineData(0, 6, TransactionStatus.CompleteCommit, 6, TransactionState.LastEpochOfClients)]
    [InlineData(4, -1, TransactionStatus.Empty, -1, -1)]
    [InlineData(4, -1, TransactionStatus.Ongoing, -1, -1)]
    internal void Who_ended_a_transaction_where_epochs_rise_is_known_from_its_record(
        short epoch, long previous, TransactionStatus status, long endedId, short endedEpoch)
    {
        TransactionState state = TransactionState.New("payments") with
        {
            Producer = new ProducerIdentity(7, epoch), PreviousProducerId = previous, Status = status, ClientVersion = TransactionState.RisingEpochs,
        };
        Assert.Equal(new ProducerIdentity(endedId, endedEpoch), Reread(state).EndedAs);
    }

    [Fact]
    public void A_producer_that_was_shut_out_after_a_crash_is_not_taken_for_one_that_ended_its_transaction()
    {
        TransactionState fenced = TransactionState.New("payments") with
        {
            Producer = new ProducerIdentity(7, 4), Status = TransactionStatus.CompleteCommit, ClientVersion = TransactionState.RisingEpochs,
        };
        Assert.Equal(ProducerIdentity.None, Reread(fenced.Fence(timestamp: 1)).EndedAs);
    }

    /// <summary>Kafka's readers, such as kafka-dump-log, look for partitions in every other state, and end at a null.</summary>
    [Theory]
    [InlineData(TransactionStatus.Empty, true)]
    [InlineData(TransactionStatus.Ongoing, false)]
    [InlineData(TransactionStatus.PrepareAbort, false)]
    [InlineData(TransactionStatus.CompleteCommit, false)]
    [InlineData(TransactionStatus.CompleteAbort, false)]
    internal void Only_an_empty_state_has_no_list_of_partitions(TransactionStatus status, bool isNull)
    {
        RecordBatchBuilder batch = new();
        TransactionRecord.Append(batch, TransactionState.New("payments") with { Status = status }, owed: []);
        ReadOnlyMemory<byte> bytes = Assert.Single(RecordBatchReader.Read(batch.Build())).Value!.Value;
        Assert.True(MessageCodec.TryReadData(bytes, acceptNewer: false, out TransactionLogValue? value, out _));
        Assert.Equal(isNull, value.TransactionPartitions is null);
    }

    [Fact]
    public void A_tombstone_forgets_the_id()
    {
        RecordBatchBuilder batch = new();
        TransactionRecord.AppendTombstone(batch, "payments", timestamp: 1);
        Assert.Equal(new TransactionRecord("payments", State: null, []), Read(batch));
    }

    [Fact]
    public void Ends_are_where_Kafka_skips_them()
    {
        TransactionLogPartitions partitions = new() { Topic = "a", PartitionIds = [4], EndOffsets = [258] };
        TransactionLogValue value = new() { TransactionPartitions = [partitions], TransactionStatus = 2 };
        byte[] bytes = MessageCodec.WriteData(value, version: 1);

        // Tag 10,000, a field of nine bytes: the count of one, and the offset.
        string expected = "0261" + "0200000004" + "01" + "904e" + "09" + "02" + "0000000000000102";
        Assert.Contains(expected, Convert.ToHexString(bytes), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void Markers_that_may_be_missing_are_read_as_they_were_written()
    {
        OwedMarkers commit = new(new ProducerIdentity(7, 2), IsCommit: true, TransactionState.NoPartitions.Add(new TopicPartition("a", 4), new PartitionEnd(new Offset(9), 1)));
        OwedMarkers abort = new(
            new ProducerIdentity(7, 3),
            IsCommit: false,
            TransactionState.NoPartitions.Add(new TopicPartition("a", 4), new PartitionEnd(new Offset(19), 2)).Add(new TopicPartition("b", 0), new PartitionEnd(new Offset(3))));
        RecordBatchBuilder batch = new();
        TransactionRecord.Append(batch, TransactionState.New("payments"), [commit, abort]);

        IReadOnlyList<OwedMarkers> read = Read(batch).Owed;

        Assert.Equal([(commit.Producer, true), (abort.Producer, false)], read.Select(static owed => (owed.Producer, owed.IsCommit)));
        Assert.Equal(commit.Partitions, read[0].Partitions);
        Assert.Equal(abort.Partitions, read[1].Partitions);
    }

    [Fact]
    public void Markers_that_may_be_missing_are_where_Kafka_skips_them()
    {
        TransactionLogOwedMarkers owed = new() { ProducerId = 3, ProducerEpoch = 2, Committed = true, Partitions = [new() { Topic = "a", PartitionIds = [4] }] };
        byte[] bytes = MessageCodec.WriteData(new TransactionLogValue { OwedMarkers = [owed] }, version: 1);

        // One tagged field, number 10,000, of 22 bytes, which are the last ones.
        string fields = "02" + "0000000000000003" + "0002" + "01" + "02" + "0261" + "0200000004" + "00" + "00";
        Assert.EndsWith("01" + "904e" + "16" + fields, Convert.ToHexString(bytes), StringComparison.OrdinalIgnoreCase);
    }

    private static TransactionState Reread(TransactionState state)
    {
        RecordBatchBuilder batch = new();
        TransactionRecord.Append(batch, state, []);
        return Read(batch).State!;
    }

    private static TransactionRecord Read(RecordBatchBuilder batch)
    {
        Kafka.Records.Record record = RecordBatchReader.Read(batch.Build()).Single();
        Assert.True(TransactionRecord.TryRead(record, out TransactionRecord read, out string? error), error);
        return read;
    }
}
