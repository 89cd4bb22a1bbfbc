using System.Reflection;

namespace Millrace.Repository.Tests;

/// <summary>Every C# block of a page compiles as it stands, against what the package Millrace brings.</summary>
public sealed class SnippetTests
{
    private const string ImplicitUsings = """
        global using System;
        global using System.Collections.Generic;
        global using System.IO;
        global using System.Linq;
        global using System.Net.Http;
        global using System.Threading;
        global using System.Threading.Tasks;
        """;

    private static readonly RepositoryFiles s_repository = RepositoryFiles.Load();

    public static TheoryData<string> Snippets
        => [.. Fences.In(s_repository).Where(fence => fence.Language is "csharp").Select(fence => $"{fence.Path}:{fence.Line}")];

    [Fact]
    public void The_readme_has_a_snippet() => Assert.Contains(Snippets, snippet => snippet.Data.StartsWith("README.md:", StringComparison.Ordinal));

    [Theory]
    [MemberData(nameof(Snippets))]
    public async Task A_snippet_of_a_page_compiles(string place)
    {
        Fence fence = Fences.In(s_repository).Single(fence => place == $"{fence.Path}:{fence.Line}");
        ProcessRun run = await CompileAsync(fence.Text);
        Assert.True(run.ExitCode == 0, run.Output);
    }

    [Fact]
    public async Task A_snippet_with_a_fault_does_not_compile()
    {
        ProcessRun run = await CompileAsync("Console.WriteLine(new Millrace.NoSuchThing());");

        Assert.NotEqual(0, run.ExitCode);
        Assert.Contains("NoSuchThing", run.Output, StringComparison.Ordinal);
    }

    private static async Task<ProcessRun> CompileAsync(string text)
    {
        using TemporaryFolder folder = new();
        string compiler = typeof(SnippetTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .Single(attribute => attribute.Key is "CompilerPath").Value!;
        string references = (string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!;
        List<string> response =
        [
            "/nologo", "/nullable:enable", "/warnaserror", "/out:snippet.dll",
            .. references.Split(Path.PathSeparator).Select(reference => $"/reference:\"{reference}\""),
            "Usings.cs", "Snippet.cs",
        ];
        await File.WriteAllTextAsync(folder.File("Usings.cs"), ImplicitUsings);
        await File.WriteAllTextAsync(folder.File("Snippet.cs"), text);
        await File.WriteAllLinesAsync(folder.File("snippet.rsp"), response);

        // Declarations alone make a library; statements make a program, which the compiler refuses to call a library.
        ProcessRun library = await RunAsync("library");
        return library.Output.Contains("CS8805", StringComparison.Ordinal) ? await RunAsync("exe") : library;

        Task<ProcessRun> RunAsync(string target) => ProcessRun.RunAsync(
            "dotnet", ["exec", compiler, $"/target:{target}", "@snippet.rsp"], folder.Path, TimeSpan.FromMinutes(2));
    }
}
