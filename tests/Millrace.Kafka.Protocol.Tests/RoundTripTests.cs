
namespace Millrace.Kafka.Protocol.Tests;

public class RoundTripTests
{
    private const int SeedsPerVersion = 40;

    public static TheoryData<string> MessageNames => [.. KnownMessages.All.Select(message => message.Name)];

    [Theory]
    [MemberData(nameof(MessageNames))]
    public void What_is_written_is_read_back_field_by_field(string name)
    {
        KnownMessage known = KnownMessages.Named(name);
        foreach (short version in known.Versions)
        {
            for (int seed = 0; seed < SeedsPerVersion; seed++)
            {
                IMessage original = RandomMessage.Fill(known.Create(), new Random(seed));
                byte[] bytes = known.Write(original, version);
                IMessage? copy = known.TryRead(bytes, version, out string? error);
                Assert.True(copy is not null, $"{name} version {version}, seed {seed}: {error}");
                Assert.Equal(
                    FieldRecorder.Record(original, version, known.IsFlexible(version)), FieldRecorder.Record(copy, version, known.IsFlexible(version)));
                Assert.Equal(bytes, known.Write(copy, version));
            }
        }
    }
}
