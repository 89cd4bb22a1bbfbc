namespace Millrace.LoadTest.Librdkafka;

/// <summary>What Apache Kafka 3.8 did, warm, on two cores shared with the same client and the same settings. It is not measured in the run.</summary>
/// <param name="CpuSecondsPerGigabyte">Of the broker.</param>
internal readonly record struct ApacheKafka(double MessagesPerSecond, double CpuSecondsPerGigabyte)
{
    private const int CoreCount = 2;

    public static ApacheKafka Produce(int byteCount) => byteCount <= 100 ? new ApacheKafka(1_900_000, 5) : new ApacheKafka(450_000, 2.8);

    /// <summary>
    /// The most processor time, in microseconds, that the client can have taken for a message there: what the broker left of two cores. Where it takes more here, this machine is the slower one
    /// by as much.
    /// </summary>
    public double MaxClientMicroseconds(int byteCount) =>
        (CoreCount - (MessagesPerSecond * byteCount / 1e9 * CpuSecondsPerGigabyte)) / MessagesPerSecond * 1e6;

    public static ApacheKafka Consume(int byteCount) => byteCount <= 100 ? new ApacheKafka(4_400_000, 0.8) : new ApacheKafka(1_400_000, 0.6);
}
