using System.Globalization;

namespace Millrace.Fuzz.Tests;

/// <summary>
/// Throws mutated bytes at a decoder: it must return or refuse in its own way, and allocate no more than its bound. Frame i of a campaign
/// follows from seed + i alone, so that a failure is replayed by itself.
/// </summary>
internal static class FuzzCampaign
{
    private const string FrameCountVariable = "MILLRACE_FUZZ_FRAMES";
    private const string SeedVariable = "MILLRACE_FUZZ_SEED";
    private const int DefaultFrameCount = 20_000;
    private const int DefaultSeed = 1;
    private const int LongestShownByteCount = 512;

    /// <summary>Runs one campaign; its length is MILLRACE_FUZZ_FRAMES.</summary>
    /// <param name="test">The name of the calling test, for the command that replays a failure.</param>
    /// <param name="corpus">Well-formed inputs.</param>
    /// <param name="finish">Changes a mutated input before it is decoded, such as setting its checksum anew.</param>
    /// <param name="decode">Returns, or throws what it should not.</param>
    /// <param name="allocationLimit">The most bytes that decoding this input may allocate.</param>
    public static void Run(
        string test,
        IReadOnlyList<byte[]> corpus,
        Func<byte[], Random, byte[]> finish,
        Action<byte[]> decode,
        Func<byte[], long> allocationLimit)
    {
        foreach (byte[] input in corpus)
        {
            decode(input); // compiles the code and fills the pools, which the measurements below should not count
        }

        int frameCount = Number(FrameCountVariable, DefaultFrameCount);
        int firstSeed = Number(SeedVariable, DefaultSeed);
        for (int i = 0; i < frameCount; i++)
        {
            int seed = unchecked(firstSeed + i);
            var random = new Random(seed);
            byte[] input = finish(Mutator.Mutate(corpus, random), random);
            long limit = allocationLimit(input);
            long before = GC.GetAllocatedBytesForCurrentThread();
            Exception? escaped = null;
            try
            {
                decode(input);
            }
            catch (Exception exception)
            {
                escaped = exception;
            }

            long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            if (escaped is not null || allocated > limit)
            {
                Fail(test, seed, input, allocated, limit, escaped);
            }
        }
    }

    private static void Fail(string test, int seed, byte[] input, long allocated, long limit, Exception? escaped)
    {
        string what = escaped is null ? $"allocated {allocated} bytes, more than {limit}" : $"let an exception escape: {escaped}";
        string shown = Convert.ToHexString(input.AsSpan(0, Math.Min(input.Length, LongestShownByteCount)));
        Assert.Fail(
            $"""
            Decoding {input.Length} bytes {what}.
            Bytes: {shown}{(input.Length > LongestShownByteCount ? "..." : "")}
            Replay: {SeedVariable}={seed} {FrameCountVariable}=1 dotnet run --project tests/Millrace.Fuzz.Tests -- --filter-method "*{test}*"
            """);
    }

    private static int Number(string variable, int defaultValue) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : defaultValue;
}
