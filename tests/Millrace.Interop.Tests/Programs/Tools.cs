namespace Millrace.Interop.Tests.Programs;

/// <summary>Programs that a machine may or may not have.</summary>
internal static class Tools
{
    public static void Require(string program)
        => Assert.SkipUnless(
            (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Any(folder => File.Exists(Path.Combine(folder, program))),
            $"{program} is not installed; on Debian: apt-get install {program}.");
}
