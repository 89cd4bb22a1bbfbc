using Millrace.Kafka.Records;

namespace Millrace.Kafka;

/// <summary>A batch that was fetched and waits to be handed out. It is decoded when its turn comes.</summary>
internal sealed class FetchedBatch(TopicPartition partition, ReadOnlyMemory<byte> bytes, RecordBatchHeader header)
{
    private List<Record>? _records;

    public RecordBatchHeader Header { get; } = header;

    public int ByteCount => bytes.Length;

    public bool IsDecoded => _records is not null || Fault is not null;

    /// <summary>Why it cannot be decoded.</summary>
    public KafkaCorruptBatchException? Fault { get; private set; }

    public IReadOnlyList<Record> Records => _records!;

    /// <summary>The next record to look at.</summary>
    public int NextIndex { get; set; }

    /// <summary>Decodes the batch. Not under a lock: a compressed batch takes its time. Control batches hold no records for the application.</summary>
    public void Decode(int maxDecompressedByteCount)
    {
        if (IsDecoded)
        {
            return;
        }

        try
        {
            _records = Header.IsControl ? [] : RecordBatchReader.Read(bytes, maxDecompressedByteCount);
        }
        catch (Exception failure) when (failure is InvalidRecordBatchException or CodecUnavailableException)
        {
            Fault = new KafkaCorruptBatchException(
                $"The batch of {partition} at offset {Header.BaseOffset} cannot be decoded: {failure.Message} " +
                $"Seek to {Header.NextOffset} to go on behind it.",
                partition,
                Header.BaseOffset,
                failure);
        }
    }
}
