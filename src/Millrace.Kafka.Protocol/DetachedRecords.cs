namespace Millrace.Kafka.Protocol;

/// <summary>
/// Record batches of a response that are not in memory while it is written: the frame tells how many bytes they have, and who sends the frame takes
/// them from where they are, a file for one, when their turn comes.
/// </summary>
public abstract class DetachedRecords
{
    public abstract int ByteCount { get; }
}

/// <summary>A place in the bytes of a frame at which records go that are not in it.</summary>
/// <param name="Position">In the frame's own bytes, size prefix included.</param>
public readonly record struct DetachedPart(int Position, DetachedRecords Records);
