using Millrace.Kafka.Records;

namespace Millrace.Log;

/// <summary>The outcome of <see cref="PartitionLog.DeleteRecords"/>: one of the two nested records.</summary>
public abstract record DeleteRecordsResult
{
    private DeleteRecordsResult()
    {
    }

    /// <summary>Everything below is deleted, and stays so whatever happens to the machine.</summary>
    public sealed record Deleted(Offset LogStartOffset) : DeleteRecordsResult;

    /// <summary>The partition is offline, or the disk refused: the next start may find the records deleted or not.</summary>
    public sealed record Failed(string Reason) : DeleteRecordsResult;
}
