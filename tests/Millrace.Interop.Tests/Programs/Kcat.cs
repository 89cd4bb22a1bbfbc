using System.Text.Json;

namespace Millrace.Interop.Tests.Programs;

/// <summary>One record as kcat prints it.</summary>
internal sealed record KcatRecord(int Partition, long Offset, string? Key, string? Payload, IReadOnlyList<(string Name, string? Value)> Headers);

/// <summary>kcat, the command-line client on librdkafka: a Kafka program that is not ours.</summary>
internal static class Kcat
{
    /// <summary>Skips the test where kcat is absent.</summary>
    public static void Require() => Tools.Require("kcat");

    public static RunningProgram Start(StandaloneBroker broker, params IEnumerable<string> arguments)
        => RunningProgram.Start("kcat", ["-b", broker.Address, .. arguments]);

    /// <summary>Runs kcat to its end, which must be a success, with these lines as its input; returns its output.</summary>
    public static async Task<IReadOnlyList<string>> RunAsync(
        StandaloneBroker broker, IEnumerable<string> arguments, IEnumerable<string>? input = null)
    {
        await using RunningProgram kcat = Start(broker, arguments);
        foreach (string line in input ?? [])
        {
            await kcat.WriteLineAsync(line);
        }

        kcat.CloseInput();
        await kcat.RequireSuccessAsync();
        return kcat.Output;
    }

    /// <summary>Everything that a topic holds at this moment, in order within each partition.</summary>
    public static async Task<IReadOnlyList<KcatRecord>> ReadAllAsync(StandaloneBroker broker, string topic)
        => [.. (await RunAsync(broker, ["-C", "-t", topic, "-o", "beginning", "-e", "-q", "-J"])).Select(Parse)];

    public static KcatRecord Parse(string line)
    {
        using JsonDocument document = JsonDocument.Parse(line);
        JsonElement record = document.RootElement;
        List<(string, string?)> headers = [];
        if (record.TryGetProperty("headers", out JsonElement array))
        {
            // Names and values take turns.
            string?[] texts = [.. array.EnumerateArray().Select(element => element.GetString())];
            headers.AddRange(texts.Chunk(2).Select(pair => (pair[0]!, pair[1])));
        }

        return new KcatRecord(
            record.GetProperty("partition").GetInt32(),
            record.GetProperty("offset").GetInt64(),
            record.GetProperty("key").GetString(),
            record.GetProperty("payload").GetString(),
            headers);
    }
}
