namespace Millrace.Log;

/// <summary>What an inspection has read so far.</summary>
internal sealed class InspectionCounts
{
    public int Partitions { get; set; }

    public int Segments { get; set; }

    public long Batches { get; set; }

    public long Bytes { get; set; }
}
