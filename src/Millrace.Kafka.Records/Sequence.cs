namespace Millrace.Kafka.Records;

/// <summary>Arithmetic on producer sequence numbers, which wrap from 2^31-1 to 0.</summary>
public static class Sequence
{
    /// <summary>The sequence number <paramref name="count"/> after <paramref name="sequence"/>, modulo 2^31.</summary>
    public static int Add(int sequence, int count) => unchecked(sequence + count) & int.MaxValue;
}
