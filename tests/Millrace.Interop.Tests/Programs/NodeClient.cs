using System.Reflection;

namespace Millrace.Interop.Tests.Programs;

/// <summary>The scripts in the folder Node, each on a Kafka client for Node.js: programs that are not ours.</summary>
internal static class NodeClient
{
    /// <summary>The oldest Node.js on which each client works.</summary>
    private static readonly Dictionary<string, Version> s_oldestNode = new(StringComparer.Ordinal)
    {
        ["kafkajs"] = new(18, 20),
        ["platformatic"] = new(20, 19),
    };

    private static readonly Lazy<Task<Version>> s_node = new(FindNodeAsync);

    private static string Folder { get; } = typeof(NodeClient).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(attribute => attribute.Key is "NodeScripts").Value!;

    /// <summary>Skips the test where Node.js or the clients are absent, or Node.js is too old for this one.</summary>
    public static async Task RequireAsync(string client)
    {
        Tools.Require("node");
        Version version = await s_node.Value;
        Version oldest = s_oldestNode[client];
        Assert.SkipWhen(version < oldest, $"Node.js is {version}; {client} needs {oldest} or newer.");
        Assert.SkipUnless(Directory.Exists(Path.Combine(Folder, "node_modules")), $"The clients are not installed; run: npm ci --prefix {Folder}");
    }

    public static RunningProgram Start(string client, string scenario, StandaloneBroker broker, params IEnumerable<string> arguments)
        => RunningProgram.Start("node", [Path.Combine(Folder, client + ".js"), scenario, broker.Address, .. arguments]);

    private static async Task<Version> FindNodeAsync()
    {
        await using RunningProgram node = RunningProgram.Start("node", "--version");
        await node.RequireSuccessAsync();
        return Version.Parse(node.Output[0].TrimStart('v'));
    }
}
