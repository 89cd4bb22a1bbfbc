using System.Globalization;
using Millrace.Kafka.Protocol;
using Millrace.Kafka.Protocol.Tests;

namespace Millrace.Fuzz.Tests;

/// <summary>
/// Mutated frames at the decoders of every message and version. A frame must give a message or an error, never an exception, and take no more memory
/// than its own size allows; what is accepted must survive being written and read again.
/// </summary>
/// <remarks>
/// MILLRACE_FUZZ_FRAMES sets how many (a long run: 100 times the default), MILLRACE_FUZZ_SEED where to start. Each frame has a seed of its own, which
/// a failure prints with the line that replays it alone.
/// </remarks>
public class ProtocolFuzzTests
{
    private const int DefaultFrameCount = 1_000_000;
    private const long DefaultSeed = 20_260_401;

    /// <summary>Messages of each kind and version that mutations start from.</summary>
    private const int OriginalsPerVersion = 6;

    /// <summary>What an object costs beside the bytes that made it: the smallest element has three bytes on the wire and two objects in memory.</summary>
    private const int AllocatedBytesPerByte = 64;

    /// <summary>A message, an error text, and first room in lists.</summary>
    private const int AllocatedBytesPerFrame = 4096;

    /// <summary>Well-formed messages of one kind and version.</summary>
    private readonly record struct Originals(KnownMessage Message, short Version, byte[][] Bytes);

    [Fact]
    public void No_mutated_frame_breaks_a_decoder_or_takes_more_memory_than_it_is_worth()
    {
        var frameCount = Setting("MILLRACE_FUZZ_FRAMES", DefaultFrameCount);
        var failure = Run(OriginalsOf(KnownMessages.All), Setting("MILLRACE_FUZZ_SEED", DefaultSeed), frameCount, out var acceptedCount);
        Assert.True(failure is null, failure);

        // Were all refused or all accepted, the mutations would test the first check or none. One frame that is replayed says nothing of the kind.
        if (frameCount >= 10_000) Assert.InRange(acceptedCount, frameCount / 100, frameCount / 2);
    }

    [Fact]
    public void A_mutated_request_frame_gives_a_header_and_a_body_or_an_error()
    {
        const int frameCount = 100_000;
        var requests = OriginalsOf(KnownMessages.All.Where(message => message.Name.EndsWith("Request", StringComparison.Ordinal)));
        var readable = 0;
        for (var index = 0; index < frameCount; index++)
        {
            var random = new Random(index);
            var (message, version, bodies) = requests[random.Next(requests.Length)];
            var key = Enum.Parse<ApiKey>(message.Name[..^"Request".Length]);
            byte[] header = [0, (byte)key, 0, (byte)version, 0, 0, 0, 7, 0, 1, (byte)'c'];
            if (message.IsFlexible(version)) header = [.. header, 0];
            var payload = Mutator.Mutate([[.. header, .. bodies[random.Next(bodies.Length)]]], random);
            if (!MessageCodec.TryReadRequestHeader(payload, out var read, out var bodyStart, out var error))
            {
                Assert.NotNull(error);
                continue;
            }

            Assert.InRange(bodyStart, 0, payload.Length);
            if (KafkaApis.Find(read.Key)?.Supports(read.Version) is not true) continue;
            var known = KnownMessages.Named($"{read.Key}Request");
            if (Probe(known, read.Version, payload[bodyStart..], out var accepted) is { } failure) Assert.Fail($"seed {index}: {failure}");
            if (accepted) readable++;
        }

        Assert.InRange(readable, 1, frameCount);
    }

    [Fact]
    public void A_decoder_that_believes_a_length_is_caught()
    {
        var gullible = new KnownMessage("GullibleMessage", 0, 0, short.MaxValue, static () => new GullibleMessage());
        Originals[] originals = [new(gullible, 0, [[0, 0, 0, 4, 1, 2, 3, 4]])];
        var failure = Run(originals, DefaultSeed, 10_000, out _);
        Assert.NotNull(failure);
        Assert.Contains("allocated", failure, StringComparison.Ordinal);
        Assert.Contains("MILLRACE_FUZZ_SEED=", failure, StringComparison.Ordinal);
    }

    [Fact]
    public void A_decoder_that_throws_is_caught()
    {
        var fragile = new KnownMessage("FragileMessage", 0, 0, short.MaxValue, static () => new FragileMessage());
        Originals[] originals = [new(fragile, 0, [[0, 0, 0, 1]])];
        Assert.Contains(nameof(IndexOutOfRangeException), Run(originals, DefaultSeed, 10_000, out _), StringComparison.Ordinal);
    }

    private static Originals[] OriginalsOf(IEnumerable<KnownMessage> messages) =>
        [.. messages.SelectMany(message => message.Versions.Select(version => new Originals(message, version, RandomBytes(message, version))))];

    private static byte[][] RandomBytes(KnownMessage message, short version) =>
        [.. Enumerable.Range(0, OriginalsPerVersion).Select(seed => message.Write(RandomMessage.Fill(message.Create(), new Random(seed)), version))];

    /// <summary>The first failure with the line that replays it, or null.</summary>
    private static string? Run(Originals[] originals, long firstSeed, long frameCount, out long acceptedCount)
    {
        acceptedCount = 0;
        for (var seed = firstSeed; seed < firstSeed + frameCount; seed++)
        {
            var random = new Random(unchecked((int)seed));
            var (message, version, wellFormed) = originals[random.Next(originals.Length)];
            var bytes = Mutator.Mutate(wellFormed, random);
            if (Probe(message, version, bytes, out var accepted) is { } failure)
            {
                return $"""
                    {message.Name} version {version}: {failure}
                    frame  {Convert.ToHexString(bytes)}
                    replay MILLRACE_FUZZ_SEED={seed} MILLRACE_FUZZ_FRAMES=1 dotnet run --project tests/Millrace.Fuzz.Tests -- --filter-class "*{nameof(ProtocolFuzzTests)}"
                    """;
            }

            if (accepted) acceptedCount++;
        }

        return null;
    }

    private static string? Probe(KnownMessage known, short version, byte[] bytes, out bool accepted)
    {
        accepted = false;
        try
        {
            var limit = AllocatedBytesPerFrame + ((long)AllocatedBytesPerByte * bytes.Length);
            var allocated = Measure(known, version, bytes, out var message, out var error);

            // The runtime allocates when code runs for the first time, a decoder every time.
            if (allocated > limit) allocated = Measure(known, version, bytes, out message, out error);
            if (allocated > limit) return $"{bytes.Length} bytes allocated {allocated}, more than {limit}.";
            if (message is null) return error is null ? "neither a message nor an error." : null;

            accepted = true;
            var written = known.Write(message, version);
            var again = known.TryRead(written, version, out error);
            if (again is null) return $"what was accepted and written cannot be read: {error}";
            return known.Write(again, version).AsSpan().SequenceEqual(written) ? null : "what was accepted changes when it is written and read again.";
        }
#pragma warning disable CA1031 // whatever a decoder throws is the finding
        catch (Exception thrown)
#pragma warning restore CA1031
        {
            return thrown.ToString();
        }
    }

    private static long Measure(KnownMessage known, short version, byte[] bytes, out IMessage? message, out string? error)
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        message = known.TryRead(bytes, version, out error);
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    private static long Setting(string name, long fallback) =>
        Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? long.Parse(text, CultureInfo.InvariantCulture) : fallback;

    /// <summary>A control: takes memory on the word of a length.</summary>
    private sealed class GullibleMessage : IMessage
    {
        public byte[] Content = [];

        public void Describe<TCodec>(ref TCodec codec, short version)
            where TCodec : IMessageCodec, allows ref struct
        {
            var length = Content.Length;
            codec.Int32(ref length);
            if (typeof(TCodec) == typeof(MessageReader)) Content = new byte[Math.Clamp(length, 0, 1 << 24)];
        }
    }

    /// <summary>A control: uses a number as an index.</summary>
    private sealed class FragileMessage : IMessage
    {
        private static readonly int[] Table = new int[8];

        public void Describe<TCodec>(ref TCodec codec, short version)
            where TCodec : IMessageCodec, allows ref struct
        {
            var index = 0;
            codec.Int32(ref index);
            _ = Table[index];
        }
    }
}
