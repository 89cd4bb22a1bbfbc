using Millrace.Interop.Tests.Programs;

namespace Millrace.Interop.Tests;

/// <summary>kafka-python, which shares no code with the other clients and speaks old versions of everything.</summary>
public sealed class PythonClientTests
{
    [Theory]
    [InlineData("auto")]
    [InlineData("1.0.0")]
    [InlineData("0.11.0")]
    public async Task Every_assertion_of_the_script_holds(string version)
    {
        await PythonClient.RequireAsync();
        await using StandaloneBroker broker = await StandaloneBroker.StartAsync();
        await using RunningProgram script = PythonClient.Start(broker, version);

        await script.RequireSuccessAsync();
    }
}
