using System.Text;
using Millrace.Kafka.Records;
using Millrace.Log;

namespace Millrace.Cli;

/// <summary>Writes batches and their records as lines of names and values; the names are those that Kafka's own dump tool prints.</summary>
internal sealed class BatchDump(TextWriter output, string topic, bool showsRecords, long maximumCount)
{
    /// <summary>The base timestamp of a batch that compaction went over is the time when its tombstones and markers may go (KIP-534).</summary>
    private const int DeleteHorizonFlag = 0x40;

    private long _count;

    /// <summary>Whether as much was written as was asked for.</summary>
    public bool IsComplete => _count >= maximumCount;

    /// <summary>False if a batch is damaged.</summary>
    public bool Write(IEnumerable<LoggedBatch> batches, Offset from)
    {
        bool isWhole = true;
        foreach (LoggedBatch batch in batches)
        {
            if (IsComplete)
            {
                break;
            }

            isWhole &= batch.Verdict == BatchVerdict.Valid;
            output.WriteLine(Describe(batch));
            if (showsRecords && batch.Verdict == BatchVerdict.Valid)
            {
                isWhole &= WriteRecords(batch, from);
            }
            else
            {
                _count++;
            }
        }

        return isWhole;
    }

    private static string Describe(in LoggedBatch batch)
    {
        RecordBatchHeader header = batch.Header;

        // Of a large one that fails its checksum there are no bytes, and others are read behind it all the same.
        bool isFrame = !batch.Bytes.IsEmpty || batch.Verdict == BatchVerdict.BadChecksum;
        if (!isFrame)
        {
            return $"position: {batch.Position} isvalid: false ({batch.Judgement}; what follows cannot be read)";
        }

        string time = header.IsLogAppendTime ? "LogAppendTime" : "CreateTime";
        string verdict = batch.Verdict == BatchVerdict.Valid ? "true" : $"false ({batch.Judgement})";
        string horizon = (header.Attributes & DeleteHorizonFlag) != 0 ? $" deleteHorizonMs: {header.BaseTimestamp}" : "";
        return $"baseOffset: {header.BaseOffset} lastOffset: {header.LastOffset} count: {header.RecordCount} baseSequence: {header.BaseSequence} "
            + $"lastSequence: {header.LastSequence} producerId: {header.Producer.Id} producerEpoch: {header.Producer.Epoch} "
            + $"partitionLeaderEpoch: {header.LeaderEpoch} isTransactional: {Lower(header.IsTransactional)} isControl: {Lower(header.IsControl)}{horizon} "
            + $"position: {batch.Position} {time}: {header.MaxTimestamp} size: {header.TotalByteCount} magic: {header.Magic} "
            + $"compresscodec: {header.Codec.ToString().ToLowerInvariant()} crc: {header.Checksum} isvalid: {verdict}";
    }

    private bool WriteRecords(in LoggedBatch batch, Offset from)
    {
        try
        {
            foreach (Record record in RecordBatchReader.Read(batch.Bytes))
            {
                if (IsComplete)
                {
                    return true;
                }

                if (record.Offset >= from)
                {
                    WriteRecord(batch, record);
                    _count++;
                }
            }

            return true;
        }
        catch (Exception exception) when (exception is InvalidRecordBatchException or CodecUnavailableException)
        {
            output.WriteLine($"| The records cannot be read: {exception.Message}");
            return exception is CodecUnavailableException;
        }
    }

    private void WriteRecord(in LoggedBatch batch, in Record record)
    {
        RecordBatchHeader header = batch.Header;
        string time = header.IsLogAppendTime ? "LogAppendTime" : "CreateTime";
        int sequence = header.BaseSequence < 0 ? -1 : Sequence.Add(header.BaseSequence, (int)(record.Offset - header.BaseOffset));
        StringBuilder line = new();
        line.Append($"| offset: {record.Offset} {time}: {record.Timestamp} keySize: {record.Key?.Length ?? -1} valueSize: {record.Value?.Length ?? -1} sequence: {sequence}");
        if (record.Headers.Count > 0)
        {
            line.Append(" headers: [").AppendJoin(", ", record.Headers.Select(static header => $"{header.Key}={ByteText.Of(header.Value)}")).Append(']');
        }

        if (header.IsControl)
        {
            line.Append(' ').Append(DescribeMarker(batch.Bytes.Span));
        }
        else if (InternalTopics.TryDescribe(topic, record, out string? description))
        {
            line.Append(' ').Append(description);
        }
        else
        {
            line.Append($" key: {ByteText.Of(record.Key)} payload: {ByteText.Of(record.Value)}");
        }

        output.WriteLine(line.ToString());
    }

    private static string DescribeMarker(ReadOnlySpan<byte> batch) => EndTransactionMarker.TryRead(batch, out EndTransactionMarker marker)
        ? $"endTxnMarker: {(marker.IsCommit ? "COMMIT" : "ABORT")} coordinatorEpoch: {marker.CoordinatorEpoch}"
        : "controlRecord: of another kind than the end of a transaction";

    private static string Lower(bool value) => value ? "true" : "false";
}
