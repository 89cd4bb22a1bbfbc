using System.Globalization;

namespace Millrace.MockCluster;

/// <summary>
/// Runs a cluster for a test: its first argument is the number of brokers, its first line <c>ready host:port,...</c>, and then each line of
/// its input is a command that it answers with <c>ok</c>, or with <c>error</c> and a reason. It ends with its input.
/// </summary>
internal static class Program
{
    private static int Main(string[] arguments)
    {
        using var cluster = new NativeCluster(arguments.Length > 0 ? Number(arguments[0]) : 3);
        Console.WriteLine($"ready {cluster.Bootstraps}");
        while (Console.ReadLine() is { } line)
        {
            Console.WriteLine(Run(cluster, line.Split(' ', StringSplitOptions.RemoveEmptyEntries)));
        }

        return 0;
    }

    private static string Run(NativeCluster cluster, string[] words)
    {
        try
        {
            int error = words switch
            {
                ["topic", var topic, var partitions, var replicas] => cluster.CreateTopic(topic, Number(partitions), Number(replicas)),
                ["leader", var topic, var partition, var broker] => cluster.SetLeader(topic, Number(partition), Number(broker)),
                ["down", var broker] => cluster.SetDown(Number(broker)),
                ["up", var broker] => cluster.SetUp(Number(broker)),
                ["rtt", var broker, var milliseconds] => cluster.SetRoundTrip(Number(broker), Number(milliseconds)),
                ["errors", var api, .. var codes] => cluster.PushErrors((short)Number(api), [.. codes.Select(Number)]),
                ["errors-at", var broker, var api, var code, var milliseconds] => cluster.PushError(Number(broker), (short)Number(api), Number(code), Number(milliseconds)),
                ["clear", var api] => cluster.ClearErrors((short)Number(api)),
                ["coordinator", var kind, var key, var broker] => cluster.SetCoordinator(kind, key, Number(broker)),
                ["versions", var api, var lowest, var highest] => cluster.SetVersions((short)Number(api), (short)Number(lowest), (short)Number(highest)),
                _ => throw new FormatException($"'{string.Join(' ', words)}' is no command."),
            };
            return error == 0 ? "ok" : string.Create(CultureInfo.InvariantCulture, $"error librdkafka says {error}");
        }
        catch (FormatException failure)
        {
            return $"error {failure.Message}";
        }
    }

    private static int Number(string text) => int.Parse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
}
