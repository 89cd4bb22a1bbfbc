using System.Reflection;

namespace Millrace.Interop.Tests.Programs;

/// <summary>The scripts in the folder Node, each on a Kafka client for Node.js: programs that are not ours.</summary>
internal static class NodeClient
{
    private static readonly Version s_oldestNode = new(20, 19);

    /// <summary>Why the scripts cannot run here; null where they can.</summary>
    private static readonly Lazy<Task<string?>> s_absence = new(FindAbsenceAsync);

    private static string Folder { get; } = typeof(NodeClient).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(attribute => attribute.Key is "NodeScripts").Value!;

    /// <summary>Skips the test where Node.js or the clients are absent.</summary>
    public static async Task RequireAsync()
    {
        Tools.Require("node");
        string? absence = await s_absence.Value;
        Assert.SkipWhen(absence is not null, absence ?? "");
    }

    public static RunningProgram Start(string client, string scenario, StandaloneBroker broker, params IEnumerable<string> arguments)
        => RunningProgram.Start("node", [Path.Combine(Folder, client + ".js"), scenario, broker.Address, .. arguments]);

    private static async Task<string?> FindAbsenceAsync()
    {
        await using RunningProgram node = RunningProgram.Start("node", "--version");
        await node.RequireSuccessAsync();
        Version version = Version.Parse(node.Output[0].TrimStart('v'));
        if (version < s_oldestNode)
        {
            return $"Node.js is {version}; the clients need {s_oldestNode} or newer.";
        }

        return Directory.Exists(Path.Combine(Folder, "node_modules")) ? null : $"The clients are not installed; run: npm ci --prefix {Folder}";
    }
}
