using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;

namespace Millrace.LoadTest;

/// <summary>How often everything is measured, and where the files lie while it is.</summary>
internal sealed class RunSettings : IDisposable
{
    private int _lastDirectory;

    private RunSettings(int rounds, string directory, (IPEndPoint EndPoint, int ProcessId)? peer)
    {
        Rounds = rounds;
        Peer = peer;
        Root = Directory.CreateDirectory(Path.Combine(directory, $"millrace-load-{Environment.ProcessId}")).FullName;
    }

    /// <summary>Rounds of ours and the reference in turn; their medians are told.</summary>
    public int Rounds { get; }

    /// <summary>A broker of Apache Kafka that runs on this machine, to be measured in turn with ours by the scenarios that go through librdkafka; null where there is none.</summary>
    public (IPEndPoint EndPoint, int ProcessId)? Peer { get; }

    private string Root { get; }

    public static bool TryParse(string[] arguments, [NotNullWhen(true)] out RunSettings? settings, [NotNullWhen(false)] out string? error)
    {
        settings = null;
        error = null;
        int rounds = 5;
        string directory = Path.GetTempPath();
        (IPEndPoint, int)? peer = null;
        for (int index = 0; index < arguments.Length; index += 2)
        {
            string? value = index + 1 < arguments.Length ? arguments[index + 1] : null;
            if (arguments[index] == "--rounds" && int.TryParse(value, CultureInfo.InvariantCulture, out rounds) && rounds is >= 1 and <= 1000)
            {
                continue;
            }

            if (arguments[index] == "--directory" && Directory.Exists(value))
            {
                directory = value;
                continue;
            }

            if (arguments[index] == "--peer" && value?.Split('/') is [var address, var number]
                && IPEndPoint.TryParse(address, out IPEndPoint? endPoint) && int.TryParse(number, CultureInfo.InvariantCulture, out int processId))
            {
                peer = (endPoint, processId);
                continue;
            }

            error = $"'{string.Join(' ', arguments[index..])}' is no option: give --rounds with a number from 1 to 1000, --directory with one that exists, or --peer with ADDRESS:PORT/PROCESS of a Kafka broker on this machine.";
            return false;
        }

        settings = new RunSettings(rounds, directory, peer);
        return true;
    }

    /// <summary>A new empty directory, which goes with the run.</summary>
    public string NewDirectory() => Directory.CreateDirectory(Path.Combine(Root, $"{++_lastDirectory}")).FullName;

    public void Dispose() => Directory.Delete(Root, recursive: true);
}
