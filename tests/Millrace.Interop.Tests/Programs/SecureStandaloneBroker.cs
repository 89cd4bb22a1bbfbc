using System.Text.RegularExpressions;
using Millrace.Tests;

namespace Millrace.Interop.Tests.Programs;

/// <summary><c>millrace serve</c> with a listener of each kind, certificates of the test's own, and a user that <c>millrace user add</c> has made.</summary>
internal sealed partial class SecureStandaloneBroker : IAsyncDisposable
{
    public const string User = "alice";
    public const string Password = "open sesame,=1";

    private static readonly string[] s_schemes = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("millrace-interop-");
    private readonly Dictionary<string, string> _addresses = new(StringComparer.Ordinal);
    private RunningProgram _program = null!;

    public TestCertificates Certificates { get; } = new();

    public string UsersFile => Path.Combine(_folder.FullName, "users");

    public RunningProgram Program => _program;

    /// <summary>Where a listener is, by its scheme: <c>sasl_ssl</c>.</summary>
    public string Address(string scheme) => _addresses[scheme];

    public static async Task<SecureStandaloneBroker> StartAsync(string host = "127.0.0.1", bool wantsClientCertificate = false, bool isExpired = false)
    {
        SecureStandaloneBroker broker = new();
        try
        {
            await broker.LaunchAsync(host, wantsClientCertificate, isExpired);
            return broker;
        }
        catch
        {
            await broker.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs <c>millrace user</c>, with this as its standard input.</summary>
    public async Task<RunningProgram> RunUserAsync(string? input, params string[] arguments)
    {
        RunningProgram program = RunningProgram.Start("dotnet", ["exec", StandaloneBroker.Command, "user", .. arguments, "--users", UsersFile]);
        if (input is not null)
        {
            await program.WriteLineAsync(input);
        }

        program.CloseInput();
        await program.WaitForExitAsync();
        return program;
    }

    public async ValueTask DisposeAsync()
    {
        if (_program is not null)
        {
            TestContext.Current.TestOutputHelper?.WriteLine(_program.Transcript);
            await _program.DisposeAsync();
        }

        Certificates.Dispose();
        _folder.Delete(recursive: true);
    }

    private async Task LaunchAsync(string host, bool wantsClientCertificate, bool isExpired)
    {
        await using (RunningProgram added = await RunUserAsync(Password, "add", User))
        {
            await added.RequireSuccessAsync();
        }

        (string certificate, string key) = Certificates.Issue("broker", host, isExpired);
        List<string> arguments = ["exec", StandaloneBroker.Command, "serve", "--data", Path.Combine(_folder.FullName, "data")];
        foreach (string scheme in s_schemes)
        {
            arguments.AddRange(["--listen", $"{scheme}://127.0.0.1:0"]);
        }

        arguments.AddRange(["--users", UsersFile, "--certificate", certificate, "--key", key]);
        if (wantsClientCertificate)
        {
            arguments.AddRange(["--client-ca", Certificates.AuthorityFile]);
        }

        _program = RunningProgram.Start("dotnet", [.. arguments]);
        await _program.WaitUntilAsync("ready", (output, _) => output.Any(line => line.StartsWith("Millrace is listening on ", StringComparison.Ordinal)));
        string ready = _program.Output.First(line => line.StartsWith("Millrace is listening on ", StringComparison.Ordinal));
        foreach (Match match in Listener().Matches(ready))
        {
            _addresses[match.Groups[1].Success ? match.Groups[1].Value : "plaintext"] = match.Groups[2].Value;
        }

        Assert.Equal(s_schemes.Order(), _addresses.Keys.Order());
    }

    [GeneratedRegex("(?:([a-z_]+)://)?(127[.]0[.]0[.]1:[0-9]+)")]
    private static partial Regex Listener();
}
