using System.Reflection;

namespace Millrace.Interop.Tests.Programs;

/// <summary>The script in the folder Python, on kafka-python: a program that is not ours.</summary>
internal static class PythonClient
{
    /// <summary>Debian's own, which has Debian's packages.</summary>
    private const string Python = "/usr/bin/python3";

    private static readonly Lazy<Task<bool>> s_isThere = new(IsThereAsync);

    private static string Folder { get; } =
        typeof(PythonClient).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(attribute => attribute.Key is "PythonScripts").Value!;

    /// <summary>Skips the test where Python or the client is absent.</summary>
    public static async Task RequireAsync()
        => Assert.SkipUnless(await s_isThere.Value, "kafka-python is not installed; on Debian: apt-get install python3-kafka.");

    /// <summary>Runs all of the script.</summary>
    /// <param name="version">For which version of Kafka it takes the broker; or auto.</param>
    public static RunningProgram Start(StandaloneBroker broker, string version) => RunningProgram.Start(Python, [Path.Combine(Folder, "client.py"), broker.Address, version]);

    /// <summary>Runs a member of a group until it is ended.</summary>
    public static RunningProgram StartMember(StandaloneBroker broker, string group, string topic, string strategy)
        => RunningProgram.Start(Python, [Path.Combine(Folder, "member.py"), broker.Address, group, topic, strategy]);

    private static async Task<bool> IsThereAsync()
    {
        if (!File.Exists(Python))
        {
            return false;
        }

        await using RunningProgram python = RunningProgram.Start(Python, ["-c", "import kafka; print('there')"]);
        await python.WaitForExitAsync();
        return python.Output.Contains("there");
    }
}
