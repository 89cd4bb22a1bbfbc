namespace Millrace.Kafka.Protocol.Tests;

public class RoundTripTests
{
    private const int SeedsPerVersion = 40;

    public static TheoryData<string> MessageNames => [.. KnownMessages.All.Select(message => message.Name)];

    [Theory]
    [MemberData(nameof(MessageNames))]
    public void What_is_written_is_read_back_field_by_field(string name)
    {
        var known = KnownMessages.Named(name);
        foreach (var version in known.Versions)
        {
            for (var seed = 0; seed < SeedsPerVersion; seed++)
            {
                var original = RandomMessage.Fill(known.Create(), new Random(seed));
                var bytes = known.Write(original, version);
                var copy = known.TryRead(bytes, version, out var error);
                Assert.True(copy is not null, $"{name} version {version}, seed {seed}: {error}");
                Assert.Equal(
                    FieldRecorder.Record(original, version, known.IsFlexible(version)), FieldRecorder.Record(copy, version, known.IsFlexible(version)));
                Assert.Equal(bytes, known.Write(copy, version));
            }
        }
    }
}
