namespace Millrace.Repository.Tests;

/// <summary>The text files of a repository by their path relative to its root, with forward slashes.</summary>
/// <remarks>The rules read only this, so that a test can hand them a repository that breaks one.</remarks>
internal sealed class RepositoryFiles(IReadOnlyDictionary<string, string> textByPath)
{
    private static readonly HashSet<string> s_generatedFolders =
        new(StringComparer.Ordinal) { ".git", "artifacts", "bin", "obj", "data", "node_modules", ".vs", ".idea", ".vscode" };

    private static readonly HashSet<string> s_textExtensions = new(StringComparer.OrdinalIgnoreCase)
    {
        ".cs", ".razor", ".csproj", ".props", ".targets", ".slnx", ".json", ".md", ".sh", ".txt", ".yml", ".yaml",
        ".config", ".editorconfig", ".gitignore", ".css", ".js", ".html", "",
    };

    /// <summary>The folder that holds Millrace.slnx, found upward from the test assembly.</summary>
    public static string Root { get; } = FindRoot();

    public IReadOnlyDictionary<string, string> TextByPath { get; } = textByPath;

    /// <summary>Reads the repository that this assembly was built from.</summary>
    public static RepositoryFiles Load()
    {
        Dictionary<string, string> textByPath = new(StringComparer.Ordinal);
        Collect(new DirectoryInfo(Root), textByPath);
        return new RepositoryFiles(textByPath);
    }

    /// <summary>Files whose path starts with one of the folders (all where none is given) and ends as asked.</summary>
    public IEnumerable<(string Path, string Text)> Under(string ending, params string[] folders)
        => from file in TextByPath
           where file.Key.EndsWith(ending, StringComparison.Ordinal)
           where folders.Length == 0 || folders.Any(folder => file.Key.StartsWith(folder + "/", StringComparison.Ordinal))
           orderby file.Key
           select (file.Key, file.Value);

    private static void Collect(DirectoryInfo folder, Dictionary<string, string> textByPath)
    {
        foreach (FileInfo file in folder.EnumerateFiles())
        {
            if (s_textExtensions.Contains(file.Extension) && file.LinkTarget is null)
            {
                textByPath[Path.GetRelativePath(Root, file.FullName).Replace('\\', '/')] = File.ReadAllText(file.FullName);
            }
        }

        foreach (DirectoryInfo child in folder.EnumerateDirectories())
        {
            if (!s_generatedFolders.Contains(child.Name) && child.LinkTarget is null)
            {
                Collect(child, textByPath);
            }
        }
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Millrace.slnx")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException(
            $"No folder above {AppContext.BaseDirectory} holds Millrace.slnx; run these tests from a build inside the repository.");
    }
}
