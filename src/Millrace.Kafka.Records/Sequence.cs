namespace Millrace.Kafka.Records;

/// <summary>Arithmetic on producer sequence numbers, which wrap from 2^31-1 to 0.</summary>
public static class Sequence
{
    public static int Add(int sequence, int count) =>
        sequence > int.MaxValue - count ? count - (int.MaxValue - sequence) - 1 : sequence + count;
}
